"""How the loopback server differs from a good one: a switch for each fault, all off."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Behaviour:
    """What the server is and what is wrong with it; the defaults are a clean vLLM."""

    vllm: bool = True
    gateway: str | None = None
    """A gateway before a vLLM, which calls itself the models' owner: `all` passes on every path, `chat` that alone."""
    also_lists: tuple[str, ...] = ()
    """Other models that are listed after its own; it answers for them too."""
    token_ids: bool = True
    logprobs: bool = True
    rejects_logprobs: bool = False
    """Answers a request for logprobs with a 400, as some servers and proxies do."""
    rejects_token_ids: bool = False
    """The same for vLLM's `return_token_ids`."""
    rejects_all: bool = False
    """Answers every request with a 400."""
    cached_tokens: bool = True
    metrics: bool = True
    prefix_cache: bool = True
    salts_work: bool = True
    """Whether `cache_salt` keeps requests apart."""
    cold_differs: bool = False
    """A request that finds nothing in the prefix cache takes another path."""
    answers_by_history: bool = False
    """A request that finds only a part of its prompt in the cache takes another path; what it then leaves there goes on
    doing so for later ones."""
    start_up: int = 0
    """So many requests after the start take another path, cached or not."""
    splits_under_load: bool = False
    """Every second request that meets others under way takes another path."""
    splits_above: int | None = None
    """Every request that meets so many others, or more, takes another path."""
    drifts_above: int | None = None
    """The logprobs of every request that meets so many others, or more, move."""
    never_overlaps: bool = False
    """Whole answers come one after another, however many were asked for at a time."""
    lone_differs: bool = False
    """Alike at each load, but otherwise than alone."""
    splits_beside: str | None = None
    """A request takes another path beside others with `sizes` other than its own, `structured` output or `logprobs`,
    and when one of those beside it is `aborted`."""
    ignores_form: bool = False
    """Answers freely where JSON was asked for."""
    most_pictures: int | None = None
    """Refuses more pictures in a prompt, as `--limit-mm-per-prompt` does."""
    says_running: int | None = None
    """Says that it is running so many requests, whatever it does."""
    replicas: int = 1
    """So many servers behind the address, each with a cache and counters of its own."""
    turns: bool = True
    """The replicas take turns, at every path; otherwise the first answers all questions and the last counts."""
    tells_workers: bool = False
    """Lists them at /workers and counts them at /readiness, as a router does."""
    workers_at: tuple[str, ...] = ()
    """The addresses that it lists at /workers."""
    replicas_differ: bool = False
    """Every replica but the first takes another path."""
    drift: float = 0.0
    """Nats by which the logprobs of every second request that meets others under way move."""
    race: float = 0.0
    """Chance of another path at any request."""
    strangers: int = 0
    """Requests of others that finish beside every third of ours, which then takes another path."""
    preempts: bool = False
    """Every third request is preempted and takes another path."""
    seeds_matter: bool = False
    """Samples by the seed although temperature is 0."""
    samples_anyway: bool = False
    """Samples by chance whatever is asked."""
    ignores_temperature: bool = False
    """Greedy whatever is asked."""
    encoding_matters: bool = False
    """The answer follows the bytes of the picture."""
    prompt_varies: bool = False
    """Every second prompt is tokenised differently."""
    names_worker: bool = False
    """Says in a header which replica has answered."""
    fingerprint_changes_after: int | None = None
    model_changes_after: int | None = None
    version_changes_after: int | None = None
    fails_every: int | None = None
    """Every such request gets a 500."""
    busy_every: int | None = None
    """Every such request gets a 429."""
    retry_after: str | None = "1"
    """What a 429 says in Retry-After."""
    breaks_every: int | None = None
    """Every such stream is cut in the middle."""
    error_in_stream_every: int | None = None
    """Every such stream ends in an error event inside the 200 response."""
    length: int | None = None
    """Ends every answer after so many tokens with finish_reason `length`."""
    seconds_per_token: float = 0.0
    held_after: int | None = None
    """Holds every answer back after so many tokens, until the behaviour is another one."""
    prefill_seconds: float = 0.002
    max_model_len: int = 2048
    pixels_per_token: int | None = None
    """Counts a prompt by the size of its pictures, and refuses what does not fit; None counts every prompt alike."""
    counts: bool = True
    """Whether `/tokenize` is there."""
    ends_as: str | None = None
    """Gives no answer: a finish reason that ends it in the middle, or `reasoning` or `empty` for nothing but that."""
    thinks: bool = False
    """Reasons before it answers, each time otherwise."""
    answer: str | None = None
    """Says this instead; None says what the faults make of it."""
