"""Keeps conversations in the store as they grow, and brings them back; in a public demo it keeps nothing."""

from __future__ import annotations

from dataclasses import replace

from vqa.answers import Json
from vqa.errors import StoreError
from vqa.store import Store
from vqa.ui.ask.conversation import Conversation, Message, message_from_json, message_json, name_of


class ConversationKeeper:
    """Adds messages to conversations, in the store where there is one."""

    def __init__(self, store: Store | None) -> None:
        self._store = store

    @property
    def keeps(self) -> bool:
        """Whether conversations outlive the page."""
        return self._store is not None

    def add(self, conversation: Conversation, message: Message) -> Conversation:
        """Returns the conversation with the message, stored unless the store failed it before.

        Raises:
            StoreError: it cannot be written.
        """
        named = conversation if conversation.name else replace(conversation, name=name_of(message.text))
        if self._store is None or named.unstored:
            return named.add(message)
        if not named.chat_id:
            named = replace(named, chat_id=self._store.create_chat(name=named.name))
        try:
            return self._stored(self._store, named, message)
        except StoreError as problem:
            if problem.code != "chat_missing":
                raise
        # It was deleted meanwhile, in another tab say: what is shown here is stored anew, as a conversation of its own.
        fresh, places = self._anew(self._store, named)
        return self._stored(self._store, fresh, replace(message, parent=places[message.parent]))

    @staticmethod
    def _stored(store: Store, conversation: Conversation, message: Message) -> Conversation:
        for image in message.images:
            store.put_image(image)
        place = store.add_message(conversation.chat_id, message_json(message), parent=message.parent)
        return conversation.add(replace(message, id=place))

    def _anew(self, store: Store, conversation: Conversation) -> tuple[Conversation, dict[int | None, int | None]]:
        """Returns a conversation with all its messages stored under a new id, and each message's new id by its old."""
        fresh = replace(conversation, chat_id=store.create_chat(name=conversation.name), messages=())
        places: dict[int | None, int | None] = {None: None}
        for message in conversation.messages:
            fresh = self._stored(store, fresh, replace(message, parent=places[message.parent]))
            places[message.id] = fresh.messages[-1].id
        return replace(fresh, leaf=places[conversation.leaf]), places

    def restored(self, conversation: Conversation) -> Conversation:
        """Returns a conversation that was deleted, stored anew with all its messages and pictures."""
        return conversation if self._store is None else self._anew(self._store, conversation)[0]

    def open(self, chat_id: str) -> Conversation:
        """Returns a stored conversation, shown in its newest version.

        Raises:
            StoreError: there is none with this id.
        """
        if self._store is None:
            return Conversation()
        rows = self._store.messages(chat_id)
        found = next((chat for chat in self._store.chats(limit=100_000) if chat["id"] == chat_id), None)
        if found is None:
            raise StoreError("chat_missing", chat=chat_id)
        messages = tuple(self._message(row) for row in rows)
        leaf = messages[-1].id if messages else None
        return Conversation(chat_id, found["name"], messages, leaf)

    def _message(self, row: dict[str, Json]) -> Message:
        assert self._store is not None
        return message_from_json(row, tuple(self._store.image(digest) for digest in row.get("images", ())))
