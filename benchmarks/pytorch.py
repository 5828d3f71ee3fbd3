"""The same networks in PyTorch: its own layers, batches sliced from a resident tensor, its own Adam.

PyTorch crops a transposed convolution at the upper left where Keras crops at the lower right, so that the same decoder
paints its picture turned by 180°.  Equal weights are therefore turned, too, and so is the image of the comparison.
"""

import itertools

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from benchmarks.jobs import GRAY_CONSTANT, Job


class Contender:
    """A loop over shuffled batches of a resident tensor: eager or compiled, in either layout and precision."""

    def __init__(self, job: Job, compiled=False, channels_last=False, bfloat16=False, fused=False):
        self.job = job
        self.bfloat16 = bfloat16
        self.images = torch.from_numpy(np.moveaxis(job.train_images(), -1, 1).copy())
        self.model = Twin(job)
        if channels_last:
            self.model = self.model.to(memory_format=torch.channels_last)
            self.images = self.images.contiguous(memory_format=torch.channels_last)
        self.optimizer = torch.optim.Adam(self.model.parameters(), job.learning_rate, fused=fused or None)
        self.objective = torch.compile(self.model) if compiled else self.model

    def loss(self) -> float:
        """Return the loss of the job's first batch, weights and noise, in nats."""
        images = self.images[: self.job.batch_size]
        turned = torch.flip(images, (2, 3)) if self.job.network == "convolutional" else images
        with torch.no_grad():
            return float(self._loss(images, torch.from_numpy(self.job.noise()), turned))

    def epoch(self) -> None:
        """Train for an epoch."""
        order, size = torch.randperm(len(self.images)), self.job.batch_size
        for first in range(0, len(order), size):
            batch = self.images[order[first : first + size]]
            self.optimizer.zero_grad()
            self._loss(batch, torch.randn(len(batch), self.job.latent_dim), batch).backward()
            self.optimizer.step()

    def _loss(self, images, eps, expected):
        with torch.autocast("cpu", torch.bfloat16, enabled=self.bfloat16):
            return self.objective(images, eps, expected)


class Twin(nn.Module):
    """Encoder, decoder and loss, with the initial weights of the Keras networks."""

    def __init__(self, job: Job):
        super().__init__()
        self.convolutional = job.network == "convolutional"
        d = job.latent_dim
        if self.convolutional:
            self.encoder = nn.Sequential(
                *(nn.Conv2d(1, 32, 3, 2), nn.ReLU(), nn.Conv2d(32, 64, 3, 2), nn.ReLU()),
                *(nn.Flatten(), nn.Linear(6 * 6 * 64, 2 * d)),
            )
            self.decoder = nn.Sequential(
                *(nn.Linear(d, 7 * 7 * 32), nn.ReLU(), nn.Unflatten(1, (32, 7, 7))),
                *(nn.ConvTranspose2d(32, 64, 3, 2, 1, 1), nn.ReLU(), nn.ConvTranspose2d(64, 32, 3, 2, 1, 1), nn.ReLU()),
                nn.ConvTranspose2d(32, 1, 3, 1, 1),
            )
        else:
            widths = [784, 500, 500, 2 * d], [d, 500, 500, 784]
            self.encoder, self.decoder = (perceptron(sizes) for sizes in widths)
        layers = [layer for part in (self.encoder, self.decoder) for layer in part if hasattr(layer, "weight")]
        arrays = [array for network in job.build() for array in network.get_weights()]
        for layer, kernel, bias in zip(layers, arrays[::2], arrays[1::2], strict=True):
            layer.weight.data = torch.from_numpy(from_keras(layer, kernel))
            layer.bias.data = torch.from_numpy(bias)

    def forward(self, images, eps, expected):
        """Return the loss, minus the ELBO, as a mean over the batch; `expected` are the decoder's images."""
        mean, logvar = self.encoder(images if self.convolutional else images.flatten(1)).float().chunk(2, dim=1)
        z = mean + torch.exp(0.5 * logvar) * eps
        output = self.decoder(z).float()
        if self.convolutional:
            pixels = functional.binary_cross_entropy_with_logits(output, expected, reduction="none").sum((1, 2, 3))
            kl = 0.5 * (z**2 - eps**2 - logvar).sum(1)
        else:
            pixels = ((expected.flatten(1) - torch.sigmoid(output)) ** 2).sum(1) / 0.5 + GRAY_CONSTANT
            kl = 0.5 * (mean**2 + torch.exp(logvar) - logvar - 1).sum(1)
        return (pixels + kl).mean()


def perceptron(sizes: list[int]) -> nn.Sequential:
    """Return linear layers with sigmoids between them."""
    layers = [layer for pair in itertools.pairwise(sizes) for layer in (nn.Linear(*pair), nn.Sigmoid())]
    return nn.Sequential(*layers[:-1])


def from_keras(layer: nn.Module, kernel: np.ndarray) -> np.ndarray:
    """Return the kernel of a Keras layer in PyTorch's order."""
    if isinstance(layer, nn.ConvTranspose2d):
        kernel = kernel[::-1, ::-1]
    elif kernel.shape[0] == 6 * 6 * 64:
        kernel = kernel.reshape(6, 6, 64, -1).transpose(2, 0, 1, 3).reshape(kernel.shape)
    elif kernel.shape[1] == 7 * 7 * 32:
        kernel = kernel.reshape(-1, 7, 7, 32)[:, ::-1, ::-1].transpose(0, 3, 1, 2).reshape(kernel.shape)
    return np.ascontiguousarray(kernel.transpose(3, 2, 0, 1) if kernel.ndim == 4 else kernel.T)
