"""AlexNet features of CIFAR-10 and Imagenette, as in Figure 2 of the paper: ``python examples/alexnet_features.py``.

Needs torch and torchvision, the weights of AlexNet and the images, which torchvision downloads. Writes cifar10.npz
(9216 features) and imagenette.npz (2304), to be used as ``--dataset cifar10.npz --data-dir DIR``.

Not run by the project's own checks; what they run is the loader, on a small file of the same form.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from torchvision import datasets, models
from torchvision.models import AlexNet_Weights


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=["cifar10", "imagenette"], help="cifar10, imagenette")
    parser.add_argument("--images", type=Path, default=Path("images"), help="where torchvision puts the images")
    parser.add_argument("--out", type=Path, default=Path("."), help="where the files go")
    parser.add_argument("--batch-size", type=int, default=256)
    flags = parser.parse_args()
    flags.out.mkdir(parents=True, exist_ok=True)
    for name in flags.names:
        arrays = _features(name, flags.images, flags.batch_size)
        path, temporary = flags.out / f"{name}.npz", flags.out / f".{name}.npz"
        np.savez(temporary, **arrays)
        temporary.replace(path)
        print(f"{path}: {arrays['train_x'].shape} training, {arrays['test_x'].shape} test features")


def _features(name: str, folder: Path, batch_size: int) -> dict[str, np.ndarray]:
    transform = AlexNet_Weights.IMAGENET1K_V1.transforms()
    if name == "cifar10":
        # The images are 32 x 32: scaled to all of the 224 x 224 that the network takes, nothing cut off.
        transform.resize_size = transform.crop_size = [224]
        parts = [datasets.CIFAR10(folder, train=train, transform=transform, download=True) for train in (True, False)]
    elif name == "imagenette":
        parts = [_imagenette(folder, split, transform) for split in ("train", "val")]
    else:
        raise SystemExit(f"alexnet_features: wanted cifar10 or imagenette, got {name}.")
    network = models.alexnet(weights=AlexNet_Weights.IMAGENET1K_V1).features.eval()
    if name == "imagenette":
        network[-1] = torch.nn.MaxPool2d(kernel_size=5, stride=3)  # 3 x 3 x 256 features in place of 6 x 6 x 256
    device = "cuda" if torch.cuda.is_available() else "cpu"
    (train_x, train_y), (test_x, test_y) = (_run(network.to(device), part, device, batch_size) for part in parts)
    classes = np.array([c if isinstance(c, str) else c[0] for c in parts[0].classes])
    return {"train_x": train_x, "train_y": train_y, "test_x": test_x, "test_y": test_y, "classes": classes}


def _imagenette(folder: Path, split: str, transform):
    try:
        return datasets.Imagenette(folder, split=split, transform=transform, download=True)
    except RuntimeError:  # it is there already, which torchvision takes for an error
        return datasets.Imagenette(folder, split=split, transform=transform, download=False)


def _run(network, part, device: str, batch_size: int) -> tuple[np.ndarray, np.ndarray]:
    """Features float16 ``[n, F]`` and labels int64 ``[n]``."""
    loader = torch.utils.data.DataLoader(part, batch_size=batch_size, num_workers=4)
    features, labels = [], []
    with torch.inference_mode():
        for images, numbers in loader:
            features.append(network(images.to(device)).flatten(1).cpu().numpy().astype(np.float16))
            labels.append(numbers.numpy())
    return np.concatenate(features), np.concatenate(labels)


if __name__ == "__main__":
    main()
