"""The pages of lists: what each asks its API for, and how its rows are headed."""

from __future__ import annotations

from dataclasses import dataclass

from monitor.domain.job import Action, JobState
from monitor.ingest.decode import Reason
from monitor.runs.model import ModelRole, ModelState


@dataclass(frozen=True, slots=True)
class Field:
    """A filter: a parameter of the listing's API, which refuses what it does not know."""

    name: str
    label: str
    choices: tuple[str, ...] = ()
    example: str = ""
    is_time: bool = False  # in UTC


@dataclass(frozen=True, slots=True)
class Listing:
    """A page of rows that its API gives a page at a time; without columns its rows are cards."""

    title: str
    api: str
    script: str
    hint: str
    fields: tuple[Field, ...] = ()
    columns: tuple[str, ...] = ()


_TIMES = (Field("since", "From, UTC", is_time=True), Field("until", "Before, UTC", is_time=True))

LISTINGS = {
    "/jobs": Listing(
        title="Jobs",
        api="/api/v1/jobs",
        script="jobs_page.js",
        hint="The newest first. What runs is shown as it goes.",
        fields=(
            Field("state", "State", tuple(state.value for state in JobState)),
            Field("action", "Action", tuple(action.value for action in Action)),
        ),
    ),
    "/traces": Listing(
        title="Traces",
        api="/api/v1/traces",
        script="traces_page.js",
        hint="The newest to come first. What was said is shown to operators, and the audit keeps who read it.",
        fields=(
            Field("trace_id", "Trace id, whole"),
            Field("cohort", "Cohort", example="dataset=wild"),
            Field("policy_model", "Policy model"),
            *_TIMES,
        ),
        columns=("Trace", "Its time, UTC", "Cohort", "Policy model", "Tokens", "Latency", "Marks"),
    ),
    "/models": Listing(
        title="Models",
        api="/api/v1/models",
        script="models_page.js",
        hint="The newest first. Of each role one is the champion.",
        fields=(
            Field("role", "Role", tuple(role.value for role in ModelRole)),
            Field("state", "State", tuple(state.value for state in ModelState)),
        ),
    ),
    "/baselines": Listing(
        title="Baselines",
        api="/api/v1/baselines",
        script="baselines_page.js",
        hint="The newest first. Streams are judged against the active one. Filters find those with a law of all named.",
        fields=(
            Field("signal", "Signal", example="response_length"),
            Field("policy_model", "Policy model"),
            Field("cohort", "Cohort", example="dataset=wild"),
        ),
    ),
    "/notifications": Listing(
        title="Notifications",
        api="/api/v1/notifications",
        script="notifications_page.js",
        hint="Who is told of incidents by the daemon itself, in the order of the settings.",
    ),
    "/dead-letters": Listing(
        title="Dead letters",
        api="/api/v1/dead-letters",
        script="dead_letters_page.js",
        hint="The newest of the records that could not be read. The command dead-letters shows what they hold.",
        fields=(
            Field("reason", "Reason", tuple(reason.value for reason in Reason)),
            Field("topic", "From the topic"),
            *_TIMES,
        ),
        columns=("When, UTC", "Reason", "Detail", "Its record", "Letter"),
    ),
    "/audit": Listing(
        title="Audit",
        api="/api/v1/audit",
        script="audit_page.js",
        hint="Who changed what, and who read what was said. The newest first.",
        fields=(
            Field("actor", "Who"),
            Field("action", "Action", example="alarm, or job.approve"),
            Field("subject", "Of what", example="alarm 7"),
            *_TIMES,
        ),
        columns=("When, UTC", "Who", "Action", "Of what", "Detail"),
    ),
}
