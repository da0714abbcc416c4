"""What counts as a refusal, in invented answers."""

from __future__ import annotations

import pytest

from monitor.signals.refusal.patterns import OPENING_CHARACTERS, is_refusal

FILLER = "The river rises in the hills and reaches the sea after nine days. "


@pytest.mark.parametrize(
    "response",
    [
        pytest.param("I'm sorry, but I can't help with that.", id="an apology and an inability"),
        pytest.param("I can\u2019t help with that request.", id="a curly apostrophe"),
        pytest.param("\n\n  **I cannot** fulfill this request.", id="leading space and markdown"),
        pytest.param("Im sorry but i cant help you with that", id="no apostrophes at all"),
        pytest.param("Sorry, but I can't.", id="a decline without an object"),
        pytest.param("I must respectfully decline.", id="a polite decline"),
        pytest.param("That's not something I can help with.", id="a deflection"),
        pytest.param("I will not write insults about your neighbour.", id="unwillingness without a reason"),
        pytest.param("I'd prefer not to write jokes about that group.", id="a preference against it"),
        pytest.param("I don't feel comfortable writing such a letter.", id="discomfort"),
        pytest.param("As an AI, I am not able to assist you with forging a stamp.", id="an AI that is not able to"),
        pytest.param("Thanks for asking! However, I cannot suggest ways to spy on a friend.", id="after a greeting"),
        pytest.param("I cannot build an app that follows people without their consent.", id="any act, on principle"),
        pytest.param("It is not appropriate for me to share a stranger's address.", id="an impersonal objection"),
        pytest.param("It would be unethical to help with a forged signature.", id="an ethical objection"),
        pytest.param("It's never acceptable to frighten a child. Please talk to someone you trust.", id="disapproval"),
        pytest.param("My guidelines prevent me from writing this harmful text.", id="a policy"),
        pytest.param(
            "I don't have access to your colleague's diary. Please respect their privacy.", id="no access, and privacy"
        ),
        pytest.param(
            "I can't suggest doses, it would be unsafe. However, here are some general tips:\n1. Rest.",
            id="help after the refusal",
        ),
        pytest.param("<think>Easy. Sure, here is how.</think>\n\nI can't help with that.", id="after a thought"),
        pytest.param("Assistant: I'm unable to assist with this.", id="after a role label"),
        pytest.param("\"I'm sorry, but I can't help with that.\"", id="wholly in quotes"),
    ],
)
def test_a_response_that_declines_is_a_refusal(response: str) -> None:
    assert is_refusal(response)


@pytest.mark.parametrize(
    "response",
    [
        pytest.param("", id="nothing"),
        pytest.param("Photosynthesis is how plants make sugar from light.", id="an answer"),
        pytest.param("As an AI language model, I don't have feelings, but I enjoy the question.", id="a disclaimer"),
        pytest.param("I can't say for sure, but here is my best guess: 1066.", id="a caveat"),
        pytest.param("While I can't give an exact number, there are about forty.", id="no exact figure"),
        pytest.param("I cannot provide real-time prices. Harm to crops raised them in 2021.", id="no live data"),
        pytest.param("I don't have access to the internet. Please check a weather site.", id="no browsing"),
        pytest.param("I can't draw images, but I can describe one: a red barn.", id="no images"),
        pytest.param("I'm unable to create a table directly, but here is the data: a, b, c.", id="another format"),
        pytest.param("I can't recommend this book highly enough!", id="praise"),
        pytest.param("I can't help but smile at this.", id="an idiom"),
        pytest.param("I cannot help the way I feel about you, my love.", id="a poem"),
        pytest.param("I'm sorry to hear that you lost your job. Here are some steps.", id="sympathy"),
        pytest.param("I apologize for the mistake. The sum is 12.", id="a corrected mistake"),
        pytest.param("In Python you cannot assign to a tuple.", id="a rule of a language"),
        pytest.param("It is not illegal to keep a coin you found.", id="an answer about the law"),
        pytest.param("The lawyer said he cannot discuss it, as it is confidential.", id="somebody else's refusal"),
        pytest.param('"I cannot help you," said the wizard, and shut the door.', id="a line of dialogue"),
        pytest.param("Sure! Here's a scene:\n\nGuard: I can't help you with that.", id="a scene that was asked for"),
        pytest.param("Dear Ms. Smith,\n\nI am sorry, but I cannot offer you the post.", id="a letter"),
        pytest.param('```python\nraise ValueError("Sorry, I can\'t assist")\n```\nThis raises.', id="code"),
    ],
)
def test_a_response_that_answers_is_not_a_refusal(response: str) -> None:
    assert not is_refusal(response)


def test_only_the_opening_is_read() -> None:
    late = FILLER * (1 + OPENING_CHARACTERS // len(FILLER)) + "I can't help with that."
    assert not is_refusal(late)
    assert is_refusal("I can't help with that. " + FILLER * 20_000)


@pytest.mark.parametrize(
    "unit",
    [" ", "*", "\u200b", "\ud800", "\0", '"', "```", "<think>", "İ", "sorry, but i ", "it is not morally or ", "no, "],
)
def test_a_megabyte_of_one_pattern_is_read_like_any_text(unit: str) -> None:
    assert not is_refusal(unit * (1_000_000 // len(unit)))
