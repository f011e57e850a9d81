"""Asks a server as fully as it lets itself be asked: without what it refuses to be asked for. Repeats nothing else."""

from __future__ import annotations

from dataclasses import replace

from vqa.answers import Answer, Question
from vqa.client import Client
from vqa.errors import ServerError

LOGPROBS, TOKEN_IDS = "logprobs", "token_ids"
LEANER = ((LOGPROBS,), (TOKEN_IDS,), (LOGPROBS, TOKEN_IDS))
"""What is left out, in the order in which it is tried."""


class Asker:
    """Asks the questions of one run; use it within one event loop."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._settled = False
        self.refused: tuple[str, ...] = ()
        """What the server refused to be asked for, and is no longer asked: `logprobs`, `token_ids`."""

    async def ask(self, question: Question) -> Answer:
        """Returns the answer; raises as `Client.ask` does.

        A server that rejects a request (HTTP 4xx) before it has answered any in full is asked the same without
        logprobs, token ids, or both: what it rejected it did not compute, so nothing was asked twice. Where all of
        that is rejected too, the cause is another, and the first error is raised.
        """
        if self.refused:
            return await self._client.ask(_without(question, self.refused))
        try:
            answer = await self._client.ask(question)
        except ServerError as problem:
            if problem.code != "server_rejected" or self._settled:
                raise
            return await self._leaner(question, problem)
        self._settled = self._settled or question.logprobs is not None
        return answer

    async def _leaner(self, question: Question, problem: ServerError) -> Answer:
        shown = {LOGPROBS: question.logprobs is not None, TOKEN_IDS: (await self._client.info()).is_vllm}
        for names in LEANER:
            if not all(shown[name] for name in names):
                continue
            try:
                answer = await self._client.ask(_without(question, names))
            except ServerError as again:
                if again.code != "server_rejected":
                    break
                continue
            self.refused = names
            return answer
        self._settled = True
        raise problem


def _without(question: Question, names: tuple[str, ...]) -> Question:
    logprobs = None if LOGPROBS in names else question.logprobs
    return replace(question, logprobs=logprobs, token_ids=TOKEN_IDS not in names)
