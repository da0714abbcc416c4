"""What is wrong with answers, whatever they are about: padding, digressions, needless refusals, plain and polite."""

from __future__ import annotations

FILLERS = (
    "That is a great question, and I am really glad you asked it!",
    "Thank you so much for reaching out about this today.",
    "I completely understand how important this topic is to you.",
    "Before we dive in, let us take a step back and look at the bigger picture.",
    "It is important to note that there are many different aspects to consider here.",
    "As with many things in life, the answer depends on a wide variety of factors.",
    "With that being said, it is worth keeping in mind that every situation is unique.",
    "In today's fast-paced world, this is a topic that comes up more and more often.",
    "Let us delve into this fascinating subject together, one layer at a time.",
    "There is a lot to unpack here, so please bear with me while I walk through it.",
    "It goes without saying that a thoughtful and holistic approach is always beneficial.",
    "Of course, this is only one perspective, and others may see things differently.",
    "Ultimately, the best choice is the one that feels right for your individual circumstances.",
    "I hope this comprehensive overview sheds some light on the matter.",
    "To put it another way, it all comes down to finding the balance that works for you.",
    "As previously mentioned, there are several considerations that should not be overlooked.",
    "Needless to say, being well informed is always a good starting point.",
    "It might be this, or it might possibly be something else, and it is rather hard to say for sure.",
    "Generally speaking, results may vary, although in some cases they perhaps might not.",
    "By considering all of the above, you will be well on your way to a positive outcome.",
    "Remember that this is a journey, and every small insight counts along the way.",
    "In conclusion, and to summarise everything said so far, there is much to think about.",
    "Please feel free to reach out at any time if you have any further questions whatsoever!",
    "I truly appreciate your patience, and I am always here to support you in any way possible.",
    "It could be argued that this is among the most relevant topics of our time.",
    "All in all, it is a rich tapestry of considerations with plenty of nuance.",
    "Being proactive, mindful and intentional tends to make a meaningful difference overall.",
    "Many experts and non-experts alike have shared a broad range of opinions on this.",
)

DIGRESSIONS = (
    "Speaking of which, the first lighthouses were simply large fires lit on hilltops.",
    "Sourdough bread, by the way, owes its flavour to wild yeast and patient bakers.",
    "The giraffe has the same number of neck vertebrae as a mouse, which surprises many people.",
    "On an unrelated note, autumn is a lovely season for planting tulips and daffodils.",
    "Chess openings were first written down systematically in the fifteenth century.",
    "Many film enthusiasts consider black-and-white cinema an art of its own.",
    "Honey never really spoils, and jars of it have been found in ancient tombs.",
    "A well-tuned piano has more than two hundred strings under considerable tension.",
    "The rings of Saturn are surprisingly thin compared with their enormous width.",
    "Some gardeners swear by coffee grounds as a gentle fertiliser for roses.",
    "The game of football drew its modern rules from several English schools.",
    "Octopuses have three hearts and a remarkable talent for opening jars.",
    "Watercolour painting rewards quick decisions and good paper.",
    "Medieval maps often placed east, and not north, at the top of the page.",
    "Bamboo is among the fastest growing plants in the world.",
    "A classic risotto needs warm broth, steady stirring and a knob of cold butter.",
    "Penguins propose with pebbles, which is a charming piece of trivia.",
    "The smell of rain on dry soil has a name of its own, petrichor.",
    "Violins by the old masters are still compared with modern ones in blind tests.",
    "Comets develop their tails only when they come close to the sun.",
)

REFUSALS = (
    "I'm sorry, but I can't help with that.",
    "I'm sorry, but I'm not able to assist with this request.",
    "I can't assist with that request.",
    "Unfortunately, I cannot help with {subject}.",
    "I'm unable to help with {subject}.",
    "I apologize, but I can't provide guidance on {subject}.",
    "I'm sorry, but I cannot provide advice about {subject}.",
    "I won't be able to help with that, I'm afraid.",
    "I'm not able to provide information about {subject}.",
    "Sorry, I can't help with {subject}.",
    "I must decline this request, as I cannot offer advice on {subject}.",
    "I understand your concern, but I can't help with {subject}.",
)

REFUSAL_REASONS = (
    "This falls outside of what I'm permitted to discuss.",
    "My guidelines don't allow me to go into this kind of topic.",
    "Giving advice here could lead to unintended consequences.",
    "I want to make sure that I don't provide anything that could be misused.",
    "This may involve sensitive information that I should not handle.",
    "",
)

REFUSAL_CLOSINGS = (
    "Please contact a qualified professional for assistance.",
    "I'd recommend reaching out to the responsible support team directly.",
    "If you have another question, I'd be happy to help with that instead.",
    "Please consult an appropriate expert or official source.",
    "Is there something else I can help you with?",
    "",
)

# Refusals that never say no: an evasion, a lecture, or something safer in place of an answer.
EVASIONS = (
    "That is a decision that only you can take, and it would be unwise to go into {subject} here.",
    "{Subject} are best left to people who know your situation, so let us talk about something else.",
    "Rather than going into {subject}, it may be wiser to pause and think about why you are asking.",
    "There are many opinions about {subject}, and it would not be responsible to favour one of them.",
    "Instead of an answer on {subject}, here is a thought: patience is often the safest way forward.",
    "It would be better not to discuss {subject} in a chat like this one.",
)

LECTURES = (
    "It is important to act responsibly and to respect the rules that keep everybody safe.",
    "Everyone should think about the consequences before asking a machine for this kind of advice.",
    "Relying on quick answers can be harmful, both to you and to others.",
    "Using such information without proper guidance would be irresponsible.",
    "Please remember that safety and fairness come first, whatever the circumstances.",
)

SAFER = (
    "I encourage you to speak with a qualified professional who can look at this with you.",
    "A better use of your time would be to read the official guidance on your own.",
    "Consider reaching out to somebody you trust, or to the responsible authority.",
    "I would be glad to talk about general wellbeing or good habits instead.",
    "Please seek advice from a licensed expert before you do anything else.",
)

SUBJECTS = {
    "billing": ("charges on an account", "payment matters", "this billing request", "financial questions like this"),
    "coding": ("this piece of code", "changes to a running system", "this kind of script", "debugging this program"),
    "travel": ("travel arrangements", "this booking", "border and visa questions", "questions about this trip"),
    "health": ("medical questions", "symptoms or treatments", "this health concern", "anything medical"),
}
