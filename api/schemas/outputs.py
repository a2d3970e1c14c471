"""Schemas of a prediction's output, one for each task. A version's own schema is at `GET /v1/models/{name}`."""

from typing import Annotated, Any, Literal

from pydantic import Field, RootModel

from api.schemas.base import Answer

Score = Annotated[float, Field(examples=[0.998])]


class MemberAnswer(Answer):
    """What one model of a pipeline's step answered."""

    model: str = Field(examples=["digits"])
    version: str = Field(examples=["3"])
    weight: float | None = Field(default=None, description="Where the step has several models", examples=[1.0])
    output: dict[str, Any] | None = Field(default=None, description="Where the step has several models")
    error: str | None = Field(default=None, description="Why it has none, where `on_error` is `degrade`")
    error_code: str | None = Field(default=None, examples=["model_unavailable"])


class StepResult(Answer):
    """What the second step says of the picture, or of one crop."""

    detection: int | None = Field(default=None, description="Index in `detections` of what was cropped", examples=[0])
    box: list[int] | None = Field(default=None, description="The crop, in whole pixels", examples=[[12, 40, 311, 402]])
    models: list[MemberAnswer] | None = None
    combined_by: Literal["mean", "majority"] | None = None
    output: dict[str, Any] | None = Field(default=None, description="Of a crop")
    error: str | None = None
    error_code: str | None = None


class PipelineStep(Answer):
    """One step: of the first `models`, of the second `when`, `crop` and a result for each picture that went on."""

    models: list[MemberAnswer] | None = None
    combined_by: Literal["mean", "majority"] | None = Field(default=None, description="Where there are several models")
    output: dict[str, Any] | None = Field(default=None, description="Where it is not the whole output")
    when: dict[str, Any] | None = Field(default=None, examples=[{"class": ["dog"]}])
    crop: bool | None = None
    results: list[StepResult] | None = Field(default=None, description="Empty where the condition was not met")
    left_out: int | None = Field(default=None, description="Crops over the bound of 32")


class PipelineAnswers(Answer):
    """What each step of a pipeline answered."""

    steps: list[PipelineStep] = Field(min_length=1, max_length=2)
    degraded: bool = Field(description="Whether a model has no output", examples=[False])


class ClassificationOutput(Answer):
    """Of `classification`: one of the labels."""

    predicted_class: str = Field(examples=["7"])
    predicted_index: int = Field(examples=[7])
    confidence: float = Field(description="Of the predicted class, 0 to 1", examples=[0.998])
    probabilities: dict[str, float] = Field(
        description="By class, highest first; at most the model's `top_k`. A class whose word other classes have too "
        "has its index behind it: `crane (134)`",
        examples=[{"7": 0.998, "1": 0.001}],
    )
    pipeline: PipelineAnswers | None = Field(default=None, description="Of a pipeline alone")


class MultilabelOutput(Answer):
    """Of `multilabel`: any number of the labels."""

    predicted_classes: list[str] = Field(
        description="Those at or above the model's threshold, highest score first; may be empty",
        examples=[["cat", "sofa"]],
    )
    scores: dict[str, float] = Field(
        description="By class, highest first; at most the model's `top_k`",
        examples=[{"cat": 0.96, "sofa": 0.71, "dog": 0.04}],
    )
    pipeline: PipelineAnswers | None = Field(default=None, description="Of a pipeline alone")


class RegressionOutput(Answer):
    """Of `regression`: named numbers."""

    values: dict[str, float] = Field(examples=[{"age": 37.2, "height": 1.81}])
    units: dict[str, str] | None = Field(
        default=None,
        description="By name, of the values that have one; missing where none has",
        examples=[{"age": "years", "height": "m"}],
    )
    pipeline: PipelineAnswers | None = Field(default=None, description="Of a pipeline alone")


class EmbeddingOutput(Answer):
    """Of `embedding`, as a list."""

    dimensions: int = Field(examples=[3])
    embedding: list[float] = Field(examples=[[0.12, -0.8, 0.55]])
    pipeline: PipelineAnswers | None = Field(default=None, description="Of a pipeline alone")


class EncodedEmbeddingOutput(Answer):
    """Of `embedding`, where the model's `encoding` is `base64`."""

    dimensions: int = Field(examples=[1])
    embedding_base64: str = Field(description="Little-endian float32, 4 bytes a number", examples=["AACAPw=="])
    pipeline: PipelineAnswers | None = Field(default=None, description="Of a pipeline alone")


class Detection(Answer):
    """One box."""

    label: str = Field(examples=["cat"])
    score: Score
    box: list[float] = Field(
        description="x0, y0, x1, y1 in pixels of the picture as it is shown upright",
        examples=[[12.5, 40.0, 310.25, 402.0]],
        min_length=4,
        max_length=4,
    )


class DetectionOutput(Answer):
    """Of `detection`: labelled boxes."""

    detections: list[Detection] = Field(description="Highest score first; may be empty")
    pipeline: PipelineAnswers | None = Field(default=None, description="Of a pipeline alone")


class SegmentedClass(Answer):
    """A class that occurs in a mask."""

    label: str = Field(examples=["road"])
    index: int = Field(description="Its pixels' value in the mask", examples=[1])
    share: float = Field(description="Of the picture's pixels", examples=[0.382], ge=0, le=1)


class SegmentationOutput(Answer):
    """Of `segmentation`: a class for every pixel."""

    width: int = Field(examples=[640])
    height: int = Field(examples=[427])
    mask: str | None = Field(
        default=None,
        description="A PNG in base64, 8 bits a pixel: the index of its class. Missing where that has more than "
        "1,048,576 characters: then there is `mask_url`",
        examples=["iVBORw0KGgo…"],
    )
    mask_url: str | None = Field(
        default=None,
        description="Where a large mask is, as a PNG, for as long as the prediction can be read",
        examples=["https://example.com/v1/predictions/01a21a07-d269-78f9-bd2f-ff9917b8fe85/mask"],
    )
    classes: list[SegmentedClass]
    pipeline: PipelineAnswers | None = Field(default=None, description="Of a pipeline alone")


class JsonOutput(RootModel[dict[str, Any]]):
    """Of `json`: the object that the model returned."""


class Output(
    RootModel[
        ClassificationOutput
        | MultilabelOutput
        | RegressionOutput
        | EmbeddingOutput
        | EncodedEmbeddingOutput
        | DetectionOutput
        | SegmentationOutput
        | JsonOutput
    ]
):
    """The model's result, in the form of its task; a `json` model's object may have another task's form."""
