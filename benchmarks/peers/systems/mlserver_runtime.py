"""MLServer: a custom runtime, a parallel worker a core, adaptive batching.

https://mlserver.readthedocs.io/en/latest/user-guide/adaptive-batching.html
"""

from mlserver import MLModel
from mlserver.codecs import Base64Codec, StringCodec
from mlserver.types import InferenceRequest, InferenceResponse

from benchmarks.peers.systems.given import Given


class Inference(MLModel):
    """Images as base64 in the JSON of the V2 protocol; requests that are batched come as one with several images."""

    async def load(self) -> bool:
        """Load the model, once a worker."""
        self.model = Given.from_environment().load()
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Predict a batch."""
        images: list[bytes] = Base64Codec.decode_input(payload.inputs[0])
        classes = [prediction.predicted_class for prediction in self.model.predict(images)]
        return InferenceResponse(model_name=self.name, outputs=[StringCodec.encode_output("predicted_class", classes)])
