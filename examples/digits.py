"""Learn to read handwritten digits: 1,797 images of 8 x 8 pixels, two convolutions, some seconds.

`make demo` runs this. It leaves in out/: the weights, the learning curves, the confusion matrix, and a
picture of the computational graph of one training step. Then it loads the weights into a new network and
compares.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import retrograd as torch
import retrograd.nn.functional as F
from retrograd import nn
from retrograd.show import graph_svg
from retrograd.utils.data import DataLoader, TensorDataset

try:
    import matplotlib as mpl

    mpl.use("agg")  # files, no window
    import matplotlib.pyplot as plt
    from sklearn.datasets import load_digits
    from tqdm import tqdm
except ImportError as error:
    sys.exit(f"digits: {error.name} is missing; pip install 'retrograd[demo]'")

OUT = Path("out")
SEED, TEST_SIZE = 0, 360
EPOCHS, BATCH, RATE = 15, 64, 3e-3


class DigitNet(nn.Module):
    """Two convolutions, a pooling and a linear layer: 9,930 weights."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16, kernel_size=3, padding=1)
        self.conv2 = nn.Conv2d(16, 32, kernel_size=3, padding=1)
        self.dropout = nn.Dropout(0.25)
        self.linear = nn.Linear(32 * 4 * 4, 10)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.conv1(images))  # (n, 1, 8, 8) -> (n, 16, 8, 8)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)  # -> (n, 32, 4, 4)
        return self.linear(self.dropout(x.flatten(1)))  # -> (n, 10)


def load() -> tuple[TensorDataset, TensorDataset]:
    """Split the images into a training and a test set."""
    digits = load_digits()
    images = torch.tensor(digits.images, dtype=torch.float32).unsqueeze(1) / 16  # pixels are 0 .. 16
    labels = torch.tensor(digits.target)
    order = torch.randperm(len(labels))
    test, train = order[:TEST_SIZE], order[TEST_SIZE:]
    return TensorDataset(images[train], labels[train]), TensorDataset(images[test], labels[test])


def predict(model: nn.Module, data: TensorDataset) -> torch.Tensor:
    model.eval()
    with torch.no_grad():
        return model(data.tensors[0]).argmax(1)


def accuracy(model: nn.Module, data: TensorDataset) -> float:
    return (predict(model, data) == data.tensors[1]).float().mean().item()


def train(model: nn.Module, data: TensorDataset, test: TensorDataset) -> list[tuple[float, float]]:
    """Train the model; return the loss and the test accuracy of each epoch."""
    batches = DataLoader(data, batch_size=BATCH, shuffle=True)
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE)
    history = []
    with tqdm(total=EPOCHS * len(batches), unit="step", disable=None) as bar:
        for epoch in range(EPOCHS):
            model.train()
            total = 0.0
            for images, labels in batches:
                optimizer.zero_grad()
                loss = F.cross_entropy(model(images), labels)
                loss.backward()
                optimizer.step()
                total += loss.item()
                bar.update()
            history.append((total / len(batches), accuracy(model, test)))
            bar.set_description(f"epoch {epoch + 1}/{EPOCHS}")
            bar.set_postfix(loss=f"{history[-1][0]:.3f}", accuracy=f"{history[-1][1]:.1%}")
    return history


def draw_curves(history: list[tuple[float, float]], path: Path) -> None:
    losses, accuracies = zip(*history, strict=True)
    epochs = range(1, len(history) + 1)
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.5), layout="constrained")
    left.plot(epochs, losses, color="tab:red")
    left.set(title="training loss", xlabel="epoch", ylim=(0, None))
    right.plot(epochs, [100 * value for value in accuracies], color="tab:blue")
    right.set(title="test accuracy, %", xlabel="epoch")
    figure.savefig(path, dpi=120)


def draw_confusion(truth: torch.Tensor, guess: torch.Tensor, path: Path) -> None:
    counts = torch.bincount(truth * 10 + guess, minlength=100).reshape(10, 10)
    figure, axes = plt.subplots(figsize=(5, 4.6), layout="constrained")
    axes.imshow(counts.numpy(), cmap="Blues")
    for row, line in enumerate(counts.tolist()):
        for column, count in enumerate(line):
            if count:
                axes.text(
                    column, row, count, ha="center", va="center", color="white" if row == column else "black"
                )
    axes.set(xlabel="read as", ylabel="is", xticks=range(10), yticks=range(10), title="test digits")
    figure.savefig(path, dpi=120)


def main() -> int:
    OUT.mkdir(exist_ok=True)
    torch.manual_seed(SEED)
    data, test = load()
    model = DigitNet()
    weights = sum(parameter.numel() for parameter in model.parameters())
    print(f"{len(data)} digits to learn from, {len(test)} to be tested on, {weights:,} weights")

    graph_svg(
        F.cross_entropy(model(data.tensors[0][:BATCH]), data.tensors[1][:BATCH]),
        model,
        OUT / "digits_graph.svg",
    )
    start = time.perf_counter()
    history = train(model, data, test)
    spent = time.perf_counter() - start
    print(f"trained in {spent:.1f} s: {history[-1][1]:.2%} of the test digits are read right")

    draw_curves(history, OUT / "digits_curves.png")
    draw_confusion(test.tensors[1], predict(model, test), OUT / "digits_confusion.png")
    torch.save(model.state_dict(), OUT / "digits.safetensors")

    again = DigitNet()
    before = accuracy(again, test)
    again.load_state_dict(torch.load(OUT / "digits.safetensors"))
    after = accuracy(again, test)
    print(f"a new network reads {before:.2%} of them right, and {after:.2%} with the saved weights")
    for name in ("digits.safetensors", "digits_curves.png", "digits_confusion.png", "digits_graph.svg"):
        print(f"  {OUT / name}")
    return 0 if after == history[-1][1] else 1


if __name__ == "__main__":
    sys.exit(main())
