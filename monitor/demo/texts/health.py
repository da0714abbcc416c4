"""Health: everyday questions about sleep, training, colds, food, allergies and check-ups."""

from __future__ import annotations

from monitor.demo.texts.topic import DATES, NUMBERS, Intent, Product

_SLEEP = Intent(
    prompts=(
        "I have slept badly for {days} days since {date}. What can I change?",
        "How do I get used to night shifts that start on {date}?",
        "I wake up at {hour} every night. What helps?",
        "How much sleep does a {age} year old who does {sport} need?",
    ),
    openings=(
        "A fixed time for getting up, even after a bad night, is the change that helps most.",
        "Shift your bedtime by an hour a day before {date}, and keep the bedroom dark and quiet by day.",
        "Waking at {hour} is common, and staying out of bed until you are sleepy again shortens it.",
        "At {age}, seven to nine hours of sleep are right for most people who do {sport}.",
    ),
    steps=(
        "Get up at the same time for {days} days, weekends included.",
        "Have the last coffee at noon.",
        "Dim the lights and put screens away an hour before bed.",
        "Get up and read something dull if you lie awake for twenty minutes.",
        "Write down when you slept, so that you see the trend after two weeks.",
    ),
    details=(
        "Daylight in the first hour after waking moves the inner clock.",
        "A bedroom of about 18 degrees is easier to sleep in than a warm one.",
        "Alcohol helps with falling asleep and spoils the second half of the night.",
        "Short naps before three in the afternoon do no harm.",
        "Sleep problems that last longer than a month are worth a visit to your doctor.",
    ),
    follow_ups=(
        "Are naps at {hour} fine?",
        "Does melatonin help with this?",
        "What if it does not get better in {days} days?",
    ),
)

_TRAINING = Intent(
    prompts=(
        "My {joint} hurts since I started {sport} on {date}. Should I rest?",
        "How do I begin with {sport} at {age} without getting injured?",
        "I want to run {number} metres by {date}. What does a plan look like?",
        "How many rest days do I need with {sport} {count} times a week?",
    ),
    openings=(
        "Yes, rest the {joint} from {sport} for a week and keep moving in ways that do not hurt.",
        "Begin with {sport} twice a week, at a pace at which you can still talk.",
        "Run three times a week and let the longest run grow slowly toward {number} metres until {date}.",
        "With {sport} {count} times a week, plan a rest day after each hard session.",
    ),
    steps=(
        "Reduce the amount by half until the {joint} is calm.",
        "Warm up for ten minutes before {sport}.",
        "Raise the weekly amount by at most a tenth.",
        "Add two short strength sessions for hips and trunk.",
        "Plan an easy week after every third week.",
    ),
    details=(
        "Muscle soreness that fades within three days is harmless.",
        "A {joint} that is swollen, hot or locked should be seen by a doctor soon.",
        "Cooling for fifteen minutes eases pain on the first day.",
        "Shoes worn for more than eight hundred kilometres have lost their cushioning.",
        "Sleep and enough protein matter as much as the plan itself.",
    ),
    follow_ups=(
        "Can I swim in the meantime?",
        "Which strength exercises suit a sore {joint}?",
        "How do I notice that I am doing too much?",
    ),
)

_COLD = Intent(
    prompts=(
        "I have had a cough and a temperature of {temperature} since {date}. When should I see a doctor?",
        "What helps against a sore throat for {days} days?",
        "Can I do {sport} with a cold that began on {date}?",
        "How long is a cold contagious if it started {days} days ago?",
    ),
    openings=(
        "See a doctor if {temperature} lasts longer than three days or breathing gets hard.",
        "Warm drinks, rest and lozenges ease a sore throat, and most are gone within a week.",
        "Leave out {sport} while you have a fever, and for two days after it.",
        "After {days} days a cold is hardly contagious any more, since the first three days matter most.",
    ),
    steps=(
        "Drink about two litres a day, and warm drinks if they feel good.",
        "Measure the temperature in the morning and in the evening.",
        "Sleep with the head a little raised if the cough keeps you awake.",
        "Rinse the nose with salt water twice a day.",
        "Return to work or sport when you have had a day without fever.",
    ),
    details=(
        "A cold is most contagious during the first three days.",
        "A cough can linger for three weeks after everything else has passed.",
        "Honey eases a cough at night and suits everybody over the age of one.",
        "Antibiotics do not act against the viruses that cause colds.",
        "Chest pain, confusion or short breath call for help on the same day.",
    ),
    follow_ups=(
        "Is {temperature} still low enough to wait?",
        "May I visit my grandmother on {date}?",
        "Does vitamin C make it shorter?",
    ),
)

_FOOD = Intent(
    prompts=(
        "How do I get enough {nutrient} with {diet} food at {age}?",
        "What is a good breakfast before {sport} at {hour}?",
        "I want to lose {kilograms} kilograms by {date}. Is that realistic?",
        "How much should I drink during {sport} when it is {number} minutes long?",
    ),
    openings=(
        "{diet} food covers {nutrient} well if you have beans, nuts and whole grains every day.",
        "Oats with fruit two hours before {sport} give energy without weighing you down.",
        "Half a kilogram a week is a realistic pace, so {kilograms} kilograms need two weeks for each of them.",
        "Drink when you are thirsty, and about half a litre an hour when {sport} takes longer than an hour.",
    ),
    steps=(
        "Write down for three days what you eat and drink.",
        "Fill half of the plate with vegetables.",
        "Add a source of {nutrient} to two of the meals.",
        "Plan a snack for {hour}, when hunger usually strikes.",
        "Weigh yourself once a week, always at the same time.",
    ),
    details=(
        "Vitamin C in the same meal helps the body to take up iron.",
        "Up to an hour of {sport} needs nothing but water.",
        "Protein at breakfast keeps you full for longer than sugar does.",
        "Very low calorie diets cost muscle and rarely last.",
        "A blood test shows whether {nutrient} is really low.",
    ),
    follow_ups=(
        "Which nuts have the most {nutrient}?",
        "Is coffee before {sport} a problem?",
        "What do I eat when I come home late?",
    ),
)

_ALLERGY = Intent(
    prompts=(
        "My {allergen} allergy began on {date}. What can I do at home?",
        "Which allergy tablets make me less tired when I drive at {hour}?",
        "Is it a cold or a {allergen} allergy if my nose has been running for {days} days?",
        "How do I prepare for the {allergen} season at {age}?",
    ),
    openings=(
        "Rinse your nose, shower in the evening and keep {allergen} out of the bedroom.",
        "Tablets of the newer kind, taken in the evening, make few people tired at {hour}.",
        "Itching eyes and clear mucus without a fever point to the {allergen} allergy and not to a cold.",
        "A nasal spray that you start two weeks before the {allergen} season works best.",
    ),
    steps=(
        "Check the {allergen} forecast for your area in the morning.",
        "Rinse the nose with salt water in the evening.",
        "Wash your hair before bed and leave clothes outside of the bedroom.",
        "Use the nasal spray every day and not only on bad days.",
        "Ask a pharmacist about a tablet that fits your other medicine.",
    ),
    details=(
        "Air in towns holds the most pollen in the evening, and in the country in the morning.",
        "A test with an allergist takes half an hour and shows what you react to.",
        "Treatment with drops or injections takes three years and can end the allergy.",
        "Swelling of lips or tongue, or trouble with breathing, is an emergency.",
        "Eye drops act within minutes and can be combined with tablets.",
    ),
    follow_ups=(
        "Can I use the spray for {days} days in a row?",
        "Does a mask help against {allergen}?",
        "Is the test painful?",
    ),
)

_CHECKUP = Intent(
    prompts=(
        "Which check-ups do I need at {age}?",
        "My blood pressure was {pressure} on {date}. Is that too high?",
        "How do I measure my blood pressure at home at {hour}?",
        "Which vaccinations should I refresh before {date} at {age}?",
    ),
    openings=(
        "At {age}, blood pressure, blood sugar and teeth are the check-ups to keep up with.",
        "A single reading of {pressure} says little, and the average over a week is what counts.",
        "Measure at {hour}, sitting and rested, with the cuff at the height of the heart.",
        "Tetanus is refreshed every ten years, and the flu vaccination every autumn.",
    ),
    steps=(
        "Sit quietly for five minutes with your back supported.",
        "Put the cuff on the bare upper arm at the height of the heart.",
        "Take two readings a minute apart, at {hour} and in the evening.",
        "Write them down for {days} days and work out the average.",
        "Take the list to your doctor if the average is above 135 over 85.",
    ),
    details=(
        "Coffee, talking and a full bladder raise a reading by ten points.",
        "Less salt, walking every day and less alcohol lower blood pressure noticeably.",
        "Bring your vaccination card, since gaps are easy to see there.",
        "A reading above 180 over 110 together with pain or dizziness is an emergency.",
        "Devices for the upper arm are more accurate than those for the wrist.",
    ),
    follow_ups=(
        "Which arm should I use?",
        "Is the average of {days} days enough?",
        "Does {sport} lower {pressure}?",
    ),
)

HEALTH = Product(
    name="health",
    weight=0.15,
    length_ratio=1.0,
    list_ratio=0.2,
    slots={
        "days": ("three", "four", "five", "six", "nine", "ten", "twelve"),
        "count": ("two", "three", "four", "five"),
        "date": DATES,
        "number": NUMBERS,
        "age": tuple(str(age) for age in range(19, 78)),
        "hour": tuple(f"{hour}:{minute:02d}" for hour in range(1, 23) for minute in (0, 15, 30, 45)),
        "sport": ("running", "cycling", "tennis", "rowing", "climbing", "swimming", "hiking", "dancing"),
        "joint": ("knee", "ankle", "shoulder", "hip", "wrist", "elbow"),
        "temperature": tuple(f"{tenths / 10:.1f} degrees" for tenths in range(375, 395)),
        "nutrient": ("iron", "protein", "calcium", "magnesium", "zinc", "omega-3"),
        "diet": ("Vegetarian", "Vegan", "Mediterranean", "Gluten-free"),
        "kilograms": ("three", "four", "five", "six", "eight"),
        "allergen": ("birch", "grass", "hazel", "ragweed", "house dust", "cat"),
        "pressure": tuple(f"{upper} over {lower}" for upper in range(118, 158, 2) for lower in range(76, 98, 2)),
    },
    contexts=(
        "I am {age} years old.",
        "It began around {date}.",
        "I do {sport} on most weekends and am {age}.",
        "I walk about {number} steps a day.",
        "My appointment is on {date}.",
        "Apart from that I am healthy, {age} and do not smoke.",
        "I usually have time at {hour}.",
        "The clinic gave me the number {number}.",
    ),
    background=(
        "Write down questions before an appointment, so that none is forgotten.",
        "A pharmacist can check whether two medicines go together.",
        "Small habits kept for months do more than strict plans kept for a week.",
        "Symptoms that get worse quickly deserve a call to the medical hotline.",
        "Bring a list of everything you take to each appointment.",
        "Half an hour of brisk walking a day already lowers many risks.",
        "New medicine and new symptoms in the same week are worth mentioning to your doctor.",
        "Keep a thermometer and a plaster kit where everybody finds them.",
    ),
    intents=(_SLEEP, _TRAINING, _COLD, _FOOD, _ALLERGY, _CHECKUP),
)
