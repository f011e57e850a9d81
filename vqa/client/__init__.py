"""Speaks to OpenAI-compatible servers as they are: what they take is found by asking, what they say is told."""

from vqa.client.address import normalize_base_url, server_root
from vqa.client.asking import Client, Waiting
from vqa.client.collect import Collector, Delta
from vqa.client.problems import BrokenStreamError, NoAnswerError
from vqa.client.request import check_question, messages, request_body
from vqa.client.server import ServerInfo
from vqa.client.transport import IDLE_SECONDS

__all__ = [
    "IDLE_SECONDS",
    "BrokenStreamError",
    "Client",
    "Collector",
    "Delta",
    "NoAnswerError",
    "ServerInfo",
    "Waiting",
    "check_question",
    "messages",
    "normalize_base_url",
    "request_body",
    "server_root",
]
