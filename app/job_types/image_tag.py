"""``image_tag``: describes an image and suggests tags for the memory that it belongs to."""

from typing import Annotated, Any

from pydantic import AfterValidator, Field

from app.job_types.fields import ImagePath, MemoryId, Sentence
from app.job_types.prompting import render
from app.jobs.ask import Ask
from app.jobs.context import ReadContext, WriteContext
from app.jobs.job_type import Answer, JobType, Payload
from app.jobs.tags import MAX_TAG_CHARS, normal_tags

MAX_TAGS = 20


class ImageTagPayload(Payload):
    """``image_path`` is relative to ``IMAGE_DIR``, or absolute inside it."""

    memory_id: MemoryId
    image_path: ImagePath


def _usable(tags: list[str]) -> list[str]:
    tags = normal_tags(tags)
    if not 1 <= len(tags) <= MAX_TAGS:
        raise ValueError(f"must hold 1 to {MAX_TAGS} different tags, not {len(tags)}")
    if any(len(tag) > MAX_TAG_CHARS for tag in tags):
        raise ValueError(f"each tag must have at most {MAX_TAG_CHARS} characters")
    return tags


class ImageTagAnswer(Answer):
    """Tags are lower-cased and de-duplicated; 3 to 7 are asked for, 1 to 20 accepted."""

    description: Sentence
    tags: Annotated[list[str], Field(min_length=1), AfterValidator(_usable)]


class ImageTag(JobType[ImageTagPayload, ImageTagAnswer]):
    """Asks the vision model; the tags are stored as ``suggested``."""

    name = "image_tag"
    queue = "llm_image_tag"
    notification = "llm_image_tag_result"
    intake_stream = "llm:image_tag"
    payload_model = ImageTagPayload
    answer_model = ImageTagAnswer

    def ask(self, payload: ImageTagPayload, context: ReadContext) -> Ask:
        """Raises ``JobRejected`` for a file that is missing, outside or no image."""
        image = context.load_image(payload.image_path)
        return Ask(prompt=render(self.name, {}), answer=ImageTagAnswer, image=image)

    def apply(
        self, payload: ImageTagPayload, answer: ImageTagAnswer | None, context: WriteContext
    ) -> dict[str, Any]:
        """Suggest the tags; running again adds none twice."""
        assert answer is not None
        context.suggest_tags(payload.memory_id, answer.tags)
        return {
            "memory_id": payload.memory_id,
            "tags": answer.tags,
            "description": answer.description,
        }


JOB_TYPE = ImageTag()
