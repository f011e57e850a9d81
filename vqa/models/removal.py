"""Removes a model from the models folder, unless an engine works with it or a download is under way."""

import shutil
from pathlib import Path

from filelock import FileLock, Timeout

from vqa.errors import ModelError
from vqa.models.catalog import suggestions
from vqa.models.local import LocalModel, LocalState, disk_usage, list_local, lock_file
from vqa.settings import Settings
from vqa.text import Language, t


class InUseError(ModelError):
    """The engine works with the model; its texts stand with the other words about models."""

    def message(self, language: Language = "en") -> str:
        """Returns which engine it is."""
        return t("models.in_use", language, **self.values)

    def hint(self, language: Language = "en") -> str:
        """Returns how to free the model."""
        return t("models.in_use_hint", language, **self.values)


def delete(settings: Settings, model_id: str) -> int:
    """Removes a downloaded model or an own folder inside the models folder; returns the bytes freed.

    Raises:
        ModelError: there is none of that id, it lies elsewhere (we delete nothing outside the models folder), a
            download into it is under way, or the engine serves it (InUseError).
    """
    models = {model.id: model for model in list_local(settings)}
    chosen = models.get(model_id) or next((each for each in models.values() if str(each.path) == model_id), None)
    if chosen is None:
        near = ", ".join(suggestions(model_id)) or ", ".join(models) or "-"
        raise ModelError("model_not_local", id=model_id, known=near)
    home = settings.models_path.resolve()
    if (
        chosen.state in {LocalState.BUNDLED, LocalState.CACHED}
        or home not in chosen.path.resolve().parents
        or chosen.path.is_symlink()
    ):
        raise ModelError("model_delete_outside", id=model_id, path=chosen.path, home=home)
    _check_unused(settings, chosen)
    freed = disk_usage(chosen.path)
    lock = FileLock(lock_file(chosen.path))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise ModelError("model_busy", id=model_id) from None
    try:
        shutil.rmtree(chosen.path)
    except OSError as problem:
        raise ModelError("model_delete_failed", path=chosen.path, reason=str(problem)) from problem
    finally:
        lock.release()
    if chosen.path.parent != home and not any(chosen.path.parent.iterdir()):
        chosen.path.parent.rmdir()
    return freed


def _check_unused(settings: Settings, model: LocalModel) -> None:
    """Refuses to take away what an engine of this data folder serves, loads or is about to start again."""
    from vqa.engine.access import in_use  # the child that downloads needs none of it
    from vqa.engine.supervisor import all_settings

    for now in map(in_use, all_settings(settings)):
        if now and now.spec and Path(now.spec.model).resolve() == model.path.resolve():
            address, pid = now.base_url or now.spec.base_url, now.pid or "-"
            raise InUseError("model_in_use", id=model.id, address=address, pid=pid)
