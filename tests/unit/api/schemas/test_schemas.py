"""The document's schemas and real answers are the same; files, models and health check theirs beside their routes."""

from dataclasses import replace

import orjson
import pytest

from api.schemas import Prediction
from shared.domain.identifiers import ANYONE, PredictionId
from shared.domain.job import Job
from shared.domain.job_request import JobRequest
from shared.domain.output_form import task_of_output
from shared.domain.prediction import ErrorCode, Source, Status
from shared.presentation.objects import prediction_object
from shared.presentation.stream_tokens import StreamTokens
from tests.support.outputs import OUTPUTS

REQUEST = {
    "model": "digits",
    "version": "3",
    "variant": "champion",
    "image": {"sha256": "ab" * 32, "format": "PNG", "width": 32, "height": 32, "bytes": 1480, "filename": None},
    "metadata": {"ward": 3},
}
OUTPUT = {"predicted_class": "7", "predicted_index": 7, "confidence": 0.998, "probabilities": {"7": 0.998, "1": 0.001}}
JOB = Job(
    id=PredictionId("0193"),
    owner=ANYONE,
    batch="",
    status=Status.STARTING,
    request=JobRequest.read(REQUEST),
    created=1_790_000_000_000_000,
)
ENDED = {"created": JOB.created, "started": JOB.created + 2, "completed": JOB.created + 9, "attempts": 1}


@pytest.mark.parametrize(
    "job",
    [
        JOB,
        replace(JOB, status=Status.PROCESSING, started=JOB.created + 2),
        replace(JOB, status=Status.SUCCEEDED, output=OUTPUT, predict_ms=6.4, batch_size=17, **ENDED),
        *(replace(JOB, status=Status.SUCCEEDED, output=output, **ENDED) for output in OUTPUTS.values()),
        replace(JOB, status=Status.SUCCEEDED, output=OUTPUT, source=Source.CACHE, completed=JOB.created),
        replace(JOB, status=Status.FAILED, error="broken", code=ErrorCode.UNDECODABLE_IMAGE, **ENDED),
        replace(JOB, status=Status.CANCELED, completed=JOB.created + 9, batch="0194"),
    ],
    ids=lambda job: f"{job.status}-{job.source}-{task_of_output(job.output)}",
)
def test_a_prediction_conforms_to_its_schema(job: Job) -> None:
    answer = orjson.loads(orjson.dumps(prediction_object(job, base_url="http://host", tokens=StreamTokens(b"secret"))))
    Prediction.model_validate(answer)
    included = {"shadow", "feedback", "deliveries", "events", "request_id"}  # only where they are asked for
    assert Prediction.model_fields.keys() - included == answer.keys()


def test_the_contracts_example_is_a_prediction() -> None:
    url = "http://host:8000/v1/predictions/0193"
    Prediction.model_validate(
        {
            "id": "0193",
            "model": "digits",
            "version": "3",
            "variant": "champion",
            "status": "succeeded",
            "input": {
                "image": {
                    "sha256": "ab" * 32,
                    "format": "PNG",
                    "width": 32,
                    "height": 32,
                    "bytes": 1480,
                    "filename": "7.png",
                }
            },
            "output": {
                "predicted_class": "7",
                "predicted_index": 7,
                "confidence": 0.998,
                "probabilities": {"7": 0.998, "1": 0.001},
            },
            "error": None,
            "error_code": None,
            "logs": "",
            "source": "model",
            "attempts": 1,
            "batch_id": None,
            "retry_of": None,
            "metadata": {},
            "data_removed": False,
            "metrics": {"queue_time": 0.0021, "predict_time": 0.0064, "total_time": 0.0101, "batch_size": 17},
            "created_at": "2026-01-31T12:00:00.000000Z",
            "started_at": None,
            "completed_at": None,
            "urls": {"get": url, "cancel": url, "retry": url, "stream": url, "web": url},
        }
    )
