"""Settings of the RCML interpreter."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class RcmlSettings(BaseModel):
    """Limits on what an application may send, and the one switch of its meaning."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    after_answer: Literal["skip-dials", "next-verb", "hangup"] = Field(
        default="skip-dials",
        description=(
            "What follows a Dial without action that was answered: skip-dials runs the next verbs but no further Dial of the same "
            "document, next-verb runs them all, hangup ends the call."
        ),
    )
    record_conferences: bool = Field(
        default=False,
        description=(
            "Whether record on a Dial of a Conference records the participant's stay, from the moment on in which there is somebody to "
            "hear. The reference page says that conferences are not recorded."
        ),
    )
    max_document_bytes: int = Field(default=65_536, ge=64, description="Largest answer that is read as a document, in bytes.")
    max_depth: int = Field(
        default=16, ge=3, le=200, description="How deep elements may stand inside each other, in levels, the root being the first."
    )
    max_verbs: int = Field(default=1_000, ge=1, description="How many verbs one document may hold.")
    max_nouns: int = Field(default=100, ge=1, description="How many nouns one Dial may hold, and prompts one Gather.")
    max_digits: int = Field(default=128, ge=1, le=1024, description="How many keys one Gather takes; numDigits may ask for less.")
    max_notices: int = Field(
        default=50, ge=1, description="How many notices one document may cause; the last one says that there were more."
    )
    max_documents_per_call: int = Field(default=10_000, ge=1, description="How many documents one call may run before it is ended.")
    max_idle_documents: int = Field(
        default=100,
        ge=1,
        description=(
            "How many documents one call may run in a row in which nothing was played, waited for or answered, "
            "before it is ended as a loop."
        ),
    )
    max_verbs_per_call: int = Field(default=100_000, ge=1, description="How many verbs one call may run before it is ended.")
