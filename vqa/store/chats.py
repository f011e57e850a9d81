"""Conversations in the store: a tree of messages each, since a message can be edited and sent again."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import uuid4

import sqlalchemy as sa

from vqa.answers import Json
from vqa.errors import StoreError
from vqa.store.base import Database
from vqa.store.tables import chat_messages, chats


class ChatStore(Database):
    """What can be done with conversations."""

    def create_chat(self, *, name: str = "", visitor: str = "") -> str:
        """Stores an empty conversation; returns its id."""
        chat_id = uuid4().hex[:12]
        now = datetime.now(UTC)
        row = {"id": chat_id, "name": name, "visitor": visitor, "created_at": now, "updated_at": now}
        with self._begin() as connection:
            connection.execute(sa.insert(chats).values(row))
        return chat_id

    def add_message(self, chat_id: str, message: dict[str, Json], *, parent: int | None = None) -> int:
        """Appends a message (any JSON, with `text` in it for the search) below `parent`; returns its id."""
        row = {"chat_id": chat_id, "parent": parent, "message": message, "created_at": datetime.now(UTC)}
        with self._begin() as connection:
            touched = sa.update(chats).where(chats.c.id == chat_id).values(updated_at=datetime.now(UTC))
            if not connection.execute(touched).rowcount:
                raise StoreError("chat_missing", chat=chat_id)
            return int(
                connection.execute(sa.insert(chat_messages).values(row).returning(chat_messages.c.id)).scalar_one()
            )

    def messages(self, chat_id: str) -> list[dict[str, Json]]:
        """Returns a conversation's messages, oldest first, each with its `id` and `parent`."""
        query = sa.select(chat_messages).where(chat_messages.c.chat_id == chat_id).order_by(chat_messages.c.id)
        with self._connect() as connection:
            rows = connection.execute(query).mappings().all()
        return [{**row["message"], "id": row["id"], "parent": row["parent"]} for row in rows]

    def chats(self, *, search: str = "", visitor: str | None = None, limit: int = 200) -> list[dict[str, Json]]:
        """Returns conversations (`id`, `name`, `created_at`, `updated_at`), last used first."""
        query = sa.select(chats).order_by(chats.c.updated_at.desc()).limit(limit)
        if visitor is not None:
            query = query.where(chats.c.visitor == visitor)
        for word in search.split():
            text = chat_messages.c.message["text"].as_string()
            inside = sa.select(chat_messages.c.chat_id).where(text.icontains(word, autoescape=True))
            query = query.where(sa.or_(chats.c.name.icontains(word, autoescape=True), chats.c.id.in_(inside)))
        with self._connect() as connection:
            return [dict(row) for row in connection.execute(query).mappings()]

    def rename_chat(self, chat_id: str, name: str) -> None:
        """Gives a conversation another name."""
        self._update(chats, chat_id, {"name": name})

    def delete_chat(self, chat_id: str) -> None:
        """Deletes a conversation with its messages, and the pictures that nothing else uses."""
        named = {sha256 for message in self.messages(chat_id) for sha256 in message.get("images", ())}
        with self._deleting() as connection:
            connection.execute(sa.delete(chat_messages).where(chat_messages.c.chat_id == chat_id))
            connection.execute(sa.delete(chats).where(chats.c.id == chat_id))
            self._drop_unused_images(connection, named)
