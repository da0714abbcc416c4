"""Coding: errors, tests, databases, speed, version control and web requests."""

from __future__ import annotations

from monitor.demo.texts.topic import NUMBERS, Intent, Product

_EXCEPTION = Intent(
    prompts=(
        "My {language} program stops with a null reference in `{function}` at line {number}. How do I find the cause?",
        "Why does `{function}` throw an index out of range error after {number} rows in {language}?",
        "I get a type error in `{function}` when the {thing} is empty. What is the right fix?",
        "How can I debug a crash in `{function}` that happens once in {number} requests?",
    ),
    openings=(
        "The value that reaches line {number} of `{function}` is missing, so check where it is created first.",
        "`{function}` reads past the end, because one row among the {number} is shorter than expected.",
        "`{function}` assumes that the {thing} has at least one element, so handle the empty case at its start.",
        "Record the input of the one request in {number} that crashes `{function}`, and replay it in a test.",
    ),
    steps=(
        "Read the stack trace from the bottom and note the first frame inside your project.",
        "Log the arguments of `{function}` just before line {number}.",
        "Write a small test that calls it with an empty {thing}.",
        "Return early, or raise a clear error, when the {thing} is missing.",
        "Run the test again and remove the extra logging.",
    ),
    details=(
        "A crash that is rare in production usually depends on input, so record the failing input.",
        "Static type checking in {language} finds most missing values before the program runs.",
        "An assertion at the start of the function documents what callers must pass.",
        "Catching every exception hides the cause, so catch only the one you can handle.",
        "Line {number} is where the error surfaces, and its origin is often a few calls earlier.",
    ),
    follow_ups=(
        "The {thing} is never empty in my test. What else could it be?",
        "Should I catch the exception or return early?",
        "How do I log the arguments without leaking private data?",
    ),
)

_TESTING = Intent(
    prompts=(
        "How do I write a unit test for `{function}` that needs a {thing} in {language}?",
        "My {language} tests take {number} seconds. How can I make them faster?",
        "How should I test `{function}` when it calls an external API?",
        "One of my {number} tests fails only on the build server. How do I track it down?",
    ),
    openings=(
        "Pass the {thing} into `{function}` as an argument, and the test can hand in a small fake.",
        "Start with the slowest ten tests, which usually take most of the {number} seconds.",
        "Put the external API behind a small client, and test `{function}` with recorded answers.",
        "A test that fails only on the build server depends on order, time or leftover files.",
    ),
    steps=(
        "List the durations of all tests and sort them.",
        "Replace the real {thing} with an in-memory one in the tests that do not need it.",
        "Fix the random seed and the clock inside the test.",
        "Run the failing test alone and then after each of its neighbours.",
        "Keep one end-to-end test that uses the real service.",
    ),
    details=(
        "A good test name states the behaviour in one sentence.",
        "Shared fixtures are convenient but make tests depend on each other.",
        "Recorded responses keep tests of an external API fast and repeatable.",
        "Tests that sleep can wait for a condition with a deadline instead.",
        "Running tests in parallel pays once they no longer share files or tables.",
    ),
    follow_ups=(
        "How do I fake the {thing} without a mocking library?",
        "Is it fine to run them in parallel?",
        "Where should I keep recorded responses?",
    ),
)

_DATABASE = Intent(
    prompts=(
        "My SQL query on a table with {number} thousand rows is slow. How do I speed it up?",
        "Which index do I need for a lookup by {column} and date in {database}?",
        "How do I add the column {column} to a large {database} table without downtime?",
        "How can I remove duplicate rows by {column} in {database} and keep the newest?",
    ),
    openings=(
        "Look at the query plan first: a sequential scan over {number} thousand rows is the usual culprit.",
        "An index on {column} followed by the date answers this lookup in {database} without reading the whole table.",
        "Add {column} as a nullable column first, fill it in small batches, and set the constraint last.",
        "Number the rows per {column} with a window function, newest first, and delete all but number one.",
    ),
    steps=(
        "Run the statement with EXPLAIN ANALYZE and look for sequential scans.",
        "Create the index on {column} concurrently so that writes go on.",
        "Refresh the statistics of the table.",
        "Run EXPLAIN ANALYZE again and compare the row estimates.",
        "Drop indexes that the new one makes redundant.",
    ),
    details=(
        "The order of columns in an index matters: equality first, ranges last.",
        "Selecting only the columns you need lets {database} answer from the index alone.",
        "A window function numbers the rows per {column}, and a delete keeps number one.",
        "Batches of a few thousand rows keep locks short.",
        "Every additional index makes inserts a little slower.",
    ),
    follow_ups=(
        "The plan still shows a sequential scan. Why?",
        "How large should a batch be for {number} thousand rows?",
        "Is a partial index on {column} better?",
    ),
)

_PERFORMANCE = Intent(
    prompts=(
        "My {language} loop over {number} thousand items in `{function}` is slow. How do I optimise it?",
        "How do I find a memory leak in a {language} service that grows by {number} MB a day?",
        "Is it worth caching the result of `{function}` in {language}?",
        "How can I profile `{function}` to see where {number} milliseconds go?",
    ),
    openings=(
        "A lookup in a list inside the loop of `{function}` is quadratic, and a set or a map makes it linear.",
        "Take two heap snapshots an hour apart and compare which type grows toward the {number} MB.",
        "Caching `{function}` is worth it when the same arguments come back often and the result is small.",
        "Run `{function}` under a sampling profiler, and the {number} milliseconds are attributed line by line.",
    ),
    steps=(
        "Measure the current run with a realistic number of items.",
        "Run the profiler and sort by own time.",
        "Move work that does not depend on the item out of the loop.",
        "Replace the list lookup with a set or a dictionary.",
        "Measure again with the same input and keep the change only if it helps.",
    ),
    details=(
        "Caching pays when the same arguments come back often and the result is small.",
        "A cache needs a size limit, or it becomes the memory leak.",
        "Batching calls to the {thing} saves more time than tuning the loop around it.",
        "Listeners that are never removed are a common reason for growing memory.",
        "String concatenation in a loop copies the text again and again, so collect parts and join once.",
    ),
    follow_ups=(
        "Which profiler do you recommend for {language}?",
        "The profiler blames the {thing}. What next?",
        "How big should the cache be?",
    ),
)

_GIT = Intent(
    prompts=(
        "I committed a {thing} to the branch {branch} by mistake. How do I undo the last {count} commits?",
        "How do I resolve a merge conflict between {branch} and main in {count} files?",
        "How can I move {count} commits from main to the branch {branch}?",
        "How do I find out which of {number} commits broke `{function}`?",
    ),
    openings=(
        "Reset the branch {branch} softly by {count} commits, and the changes stay in your working tree.",
        "Merge main into {branch}, open the {count} files and keep the right lines between the markers.",
        "Create the branch {branch} where you stand, and then move main back by {count} commits.",
        "Use git bisect: it finds the one of {number} commits that broke `{function}` in a handful of tests.",
    ),
    steps=(
        "Check with git status that nothing uncommitted is lying around.",
        "Make a backup branch so that every commit stays reachable.",
        "Run git reset --soft HEAD~{count} on {branch}.",
        "Open each conflicted file and keep the lines you want between the markers.",
        "Commit, run the tests and push the branch.",
    ),
    details=(
        "The reflog lists where the branch pointed before, so a commit is hardly ever lost.",
        "Reverting is safer than resetting once others have pulled the branch.",
        "Small commits make conflicts smaller and bisecting quicker.",
        "A script that exits with one on failure lets git bisect run by itself.",
        "Rebasing {branch} onto main every day keeps the final merge small.",
    ),
    follow_ups=(
        "The branch {branch} is already pushed. Does that change anything?",
        "How do I get the backup branch back?",
        "What if a conflict is in a generated file?",
    ),
)

_HTTP = Intent(
    prompts=(
        "My {language} client gets status 429 after {number} requests. How should I handle it?",
        "How do I add a timeout and retries around `{function}` in {language}?",
        "Why does the browser block my request to port {number} with a CORS error?",
        "How do I upload a {thing} of {number} MB over HTTP without reading it into memory?",
    ),
    openings=(
        "Status 429 means slow down: wait for the time in the Retry-After header and then try again.",
        "Give `{function}` a deadline and retry only calls that are safe to repeat.",
        "The server on port {number} has to allow your page's origin in its response headers.",
        "Stream the {thing} in chunks of a few megabytes, so that memory stays flat for all {number} MB.",
    ),
    steps=(
        "Set a connect timeout of a few seconds and a longer one for reading.",
        "Retry on 429, 502 and 503 with exponential backoff and jitter.",
        "Honour the Retry-After header when it is present.",
        "Stream the {thing} from disk in chunks instead of loading it.",
        "Log the status, the duration and the attempt of each call.",
    ),
    details=(
        "Three to five attempts are plenty, and more of them only add load.",
        "An idempotency key makes it safe to repeat a request that writes.",
        "Reusing one connection pool saves a handshake for each request.",
        "A preflight request must be answered with the allowed methods and headers.",
        "A circuit breaker keeps a slow service from blocking all of your threads.",
    ),
    follow_ups=(
        "How long should the backoff be after {number} requests?",
        "Is it safe to retry a POST?",
        "Which headers does the preflight need?",
    ),
)

CODING = Product(
    name="coding",
    weight=0.25,
    length_ratio=1.2,
    list_ratio=0.45,
    slots={
        "language": ("Python", "TypeScript", "Go", "Java", "Rust", "Kotlin", "C#", "Ruby"),
        "function": tuple(
            f"{verb}_{noun}"
            for verb in ("load", "parse", "merge", "send", "sync", "build", "fetch", "resolve", "update", "render")
            for noun in ("orders", "report", "users", "config", "index", "events", "prices", "session", "cart", "feed")
        ),
        "thing": ("queue", "file", "cache", "token", "list", "connection", "payload", "config map", "archive"),
        "column": ("customer_id", "email", "order_id", "sku", "country", "status", "device_id", "created_by"),
        "database": ("PostgreSQL", "MySQL", "SQLite", "MariaDB"),
        "branch": tuple(f"feature/{name}-{ticket}" for name in ("login", "export", "search") for ticket in range(40)),
        "count": ("two", "three", "four", "five", "six"),
        "number": NUMBERS,
    },
    contexts=(
        "It started after build {number}.",
        "The service handles about {number} requests a minute.",
        "I am new to {language}.",
        "The function is called `{function}` and has {number} lines.",
        "We run it in a container with {number} MB of memory.",
        "The ticket is number {number}.",
        "A colleague suggested rewriting `{function}`, which I would like to avoid.",
        "It works on my machine with {number} rows.",
    ),
    background=(
        "Change one thing at a time, so that you know which change made the difference.",
        "Keep the fix and its test in the same commit.",
        "A minimal example that fails is worth more than a long log.",
        "Pin the versions of your dependencies, so that a build today equals a build tomorrow.",
        "Structured logs with a request id make it easy to follow one call through the code.",
        "Code review catches more when the change is under two hundred lines.",
        "Put the reason for a workaround next to it in a comment.",
        "Read the release notes of the library before upgrading across a major version.",
    ),
    intents=(_EXCEPTION, _TESTING, _DATABASE, _PERFORMANCE, _GIT, _HTTP),
)
