"""Versions on a GPU as a worker has them: the mode is chosen, graphs are captured, each task's outputs are read."""

from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
import torch
from torch import nn
from torchvision.models import resnet18

from worker.decode.preprocessing import decode, decode_sized
from worker.models.flavours.torch_modules import forward_of, load_exported
from worker.models.gpu.loading import put_on_gpu
from worker.models.loaded_model import LoadedModel
from worker.models.metadata.model_metadata import Decode, ModelMetadata, Precision
from worker.models.reference_photographs import reference_photographs

SIDE, LIMIT = 64, 50_000_000
IMAGE = {"resize_size": [72], "crop_size": [SIDE], "mean": [0.5] * 3, "std": [0.25] * 3}
LABELS = [f"class-{number}" for number in range(10)]


def loaded(module: nn.Module, **metadata: Any) -> LoadedModel:
    about = ModelMetadata.from_metadata({"image": IMAGE, **metadata})
    on_gpu = put_on_gpu(module, forward_of, metadata=about, device="cuda", batch_size=None, max_pixels=LIMIT)
    model = LoadedModel(on_gpu.forward, metadata=about, device="cuda", mode=on_gpu.mode, fast_decoder=on_gpu.decoder)
    model.warm_up(16)
    return model


def classifier() -> nn.Module:
    torch.manual_seed(0)
    module = resnet18(num_classes=10).eval()
    with torch.no_grad():  # random weights see one class in all pictures
        module.fc.weight.mul_(20)
    return module


def exported(file: Path) -> nn.Module:
    example = torch.zeros(2, 3, SIDE, SIDE)
    program = torch.export.export(classifier(), (example,), dynamic_shapes=({0: torch.export.Dim.DYNAMIC},))
    torch.export.save(program, file)
    return load_exported(file, device="cuda")


def answers(outputs: Any) -> list[dict[str, Any]]:
    return [orjson.loads(output) for output in outputs]


@pytest.mark.parametrize("kind", ["module", "exported"])
def test_a_classifier_gets_the_fastest_mode_and_answers_as_on_a_cpu(kind: str, tmp_path: Path) -> None:
    module = exported(tmp_path / "model.pt2") if kind == "exported" else classifier().cuda()
    model = loaded(module, labels=LABELS)
    assert (model.decode, model.precision) != (Decode.EXACT, Precision.FP32)
    assert model.agreement is not None
    assert model.agreement.top1 >= 0.995
    assert model._forward._graphs.largest == 16  # type: ignore[attr-defined]
    exact = loaded(classifier().cuda(), labels=LABELS, decode="exact", precision="fp32")
    pixels = [decode(one, exact.spec, max_pixels=LIMIT) for one in reference_photographs()[:40]]
    with torch.inference_mode():
        batch = torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2).float() / 255
        expected = classifier()((batch - 0.5) / 0.25).argmax(dim=1)
    found = [answer["predicted_index"] for answer in answers(exact.predict(pixels))]
    assert found == expected.tolist()
    assert model.fast_decoder is not None
    fast = model.fast_decoder.decode(reference_photographs()[:40])
    mixed = [one if one is not None else other for one, other in zip(fast, pixels, strict=True)]
    same = [answer["predicted_index"] for answer in answers(model.predict(mixed))]
    assert np.mean(np.array(same) == np.array(found)) > 0.8


class Masks(nn.Module):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images


class Boxes(nn.Module):
    """Two boxes an image, one the picture and one within it, in the layout of a YOLO's raw head."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        boxes = torch.tensor([[32.0, 16.0], [32.0, 16.0], [64.0, 8.0], [64.0, 8.0], [0.9, 0.1], [0.2, 0.8]])
        return boxes.to(images.device, images.dtype).expand(len(images), 6, 2)


def test_masks_and_boxes_are_read_from_the_device() -> None:
    photographs = reference_photographs()[:3]
    masks = loaded(Masks().cuda(), task="segmentation", labels=["red", "green", "blue"])
    sized = [decode_sized(one, masks.spec, max_pixels=LIMIT) for one in photographs]
    assert len(answers(masks.predict(sized if masks.needs_size else [one.pixels for one in sized]))) == 3
    boxes = loaded(Boxes().cuda(), task="detection", labels=["a", "b"], raw_boxes="yolov8")
    for answer in answers(boxes.predict(sized)):
        assert len(answer["detections"]) == 2


def test_a_network_with_a_convolution_over_time_is_served() -> None:
    class OverTime(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.over_time, self.rest = nn.Conv3d(3, 3, (1, 3, 3), padding=(0, 1, 1)), classifier()

        def forward(self, images: torch.Tensor) -> Any:
            return self.rest(self.over_time(images.unsqueeze(2)).squeeze(2))

    model = loaded(OverTime().eval().cuda(), labels=LABELS)
    pixels = [decode(one, model.spec, max_pixels=LIMIT) for one in reference_photographs()[:3]]
    assert len(answers(model.predict(pixels))) == 3
