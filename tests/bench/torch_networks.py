"""The networks of `prepare` in PyTorch with channels last, as a process that measures their training steps.

`NETWORK` as argument; for each number that it reads it makes that many steps and prints processor seconds per tile.
Imports neither tilepipe nor TensorFlow: it runs in an environment of its own.
"""

import sys

import torch
from step_times import answer_requests
from torch import nn
from torch.nn import functional

_BATCH_SIZE, _CLASSES, _SIDE = 64, 10, 64
_BANDS = {"cnn": 13, "compact": 3, "efficientnet_lite0": 3}
_LITE_STAGES = (  # repeats, kernel size, stride, expansion, filters
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)


class _Standardise(nn.Module):
    def __init__(self, bands):
        super().__init__()
        self.register_buffer("mean", torch.full((1, bands, 1, 1), 125.0))
        self.register_buffer("deviation", torch.full((1, bands, 1, 1), 70.0))

    def forward(self, tiles):
        return (tiles.float() - self.mean) / self.deviation


class _Resize(nn.Module):
    def forward(self, values):
        return functional.interpolate(values, size=(96, 96), mode="bilinear")


class _Residual(nn.Module):
    def __init__(self, *layers):
        super().__init__()
        self.branch = nn.Sequential(*layers)

    def forward(self, values):
        return values + self.branch(values)


def _norm(channels, momentum):
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=1 - momentum)


def _head(channels, *hidden):
    return [nn.AdaptiveAvgPool2d(1), nn.Flatten(), *hidden, nn.Dropout(0.3), nn.Linear(channels, _CLASSES)]


def _cnn(bands):
    layers, channels = [_Standardise(bands)], bands
    for number, filters in enumerate((16, 32, 64, 128), start=1):
        layers += [nn.Conv2d(channels, filters, 3, padding=1), nn.ReLU(), _norm(filters, 0.5), nn.MaxPool2d(2)]
        layers.append(nn.Dropout(0.05 * number / 4))
        channels = filters
    return nn.Sequential(*layers, *_head(128, nn.Linear(128, 128), nn.ReLU()))


def _compact(bands):
    layers, channels = [_Standardise(bands)], bands
    for filters in (32, 64, 128):
        layers += [nn.Conv2d(channels, filters, 3, padding=1, bias=False), nn.MaxPool2d(2), _norm(filters, 0.9)]
        layers.append(nn.ReLU())
        convolution = nn.Conv2d(filters, filters, 3, padding=1, bias=False)
        layers.append(_Residual(convolution, _norm(filters, 0.9), nn.ReLU()))
        channels = filters
    return nn.Sequential(*layers, *_head(128))


def _convolution(channels, filters, size, stride=1, groups=1):
    convolution = nn.Conv2d(channels, filters, size, stride, (size - 1) // 2, groups=groups, bias=False)
    return [convolution, _norm(filters, 0.99)]


def _efficientnet_lite0(bands):
    layers, channels = [_Standardise(bands), _Resize(), *_convolution(bands, 32, 3, 2), nn.ReLU6()], 32
    for repeats, size, first_stride, expansion, filters in _LITE_STAGES:
        for repeat in range(repeats):
            stride, wide = first_stride if repeat == 0 else 1, channels * expansion
            expand = [*_convolution(channels, wide, 1), nn.ReLU6()] if expansion > 1 else []
            depthwise = [*_convolution(wide, wide, size, stride, groups=wide), nn.ReLU6()]
            block = [*expand, *depthwise, *_convolution(wide, filters, 1)]
            layers += [_Residual(*block)] if stride == 1 and channels == filters else block
            channels = filters
    return nn.Sequential(*layers, *_convolution(320, 1280, 1), nn.ReLU6(), *_head(1280))


def main(name):
    """Measure steps as requested on standard input."""
    torch.manual_seed(0)
    bands = _BANDS[name]
    networks = {"cnn": _cnn, "compact": _compact, "efficientnet_lite0": _efficientnet_lite0}
    model = networks[name](bands).to(memory_format=torch.channels_last).train()
    optimizer, loss_of = torch.optim.Adam(model.parameters(), 1e-3), nn.CrossEntropyLoss()
    tiles = torch.randint(0, 250, (_BATCH_SIZE, _SIDE, _SIDE, bands))
    tiles = tiles.to(torch.uint16 if name == "cnn" else torch.uint8).permute(0, 3, 1, 2)
    labels = torch.randint(0, _CLASSES, (_BATCH_SIZE,))

    def step():
        optimizer.zero_grad()
        scores = model(tiles)
        loss = loss_of(scores, labels)
        loss.backward()
        optimizer.step()
        return loss.item(), (scores.argmax(1) == labels).float().mean().item()

    answer_requests(step, _BATCH_SIZE)


if __name__ == "__main__":
    main(sys.argv[1])
