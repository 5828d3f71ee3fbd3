"""The program of the chapter "A VAE from an empty file", in PyTorch."""

import math

import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits


class VAE(nn.Module):
    def __init__(self, image_shape=(28, 28, 1), latent_dim=10, hidden=256):
        super().__init__()
        pixels = math.prod(image_shape)
        self.latent_dim = latent_dim
        self.encoder = nn.Sequential(
            nn.Flatten(),
            nn.Linear(pixels, hidden),
            nn.ReLU(),
            nn.Linear(hidden, 2 * latent_dim),
        )
        self.decoder = nn.Sequential(
            nn.Linear(latent_dim, hidden),
            nn.ReLU(),
            nn.Linear(hidden, pixels),
            nn.Unflatten(1, image_shape),
        )

    def terms(self, x, eps):
        mean, logvar = self.encoder(x).chunk(2, dim=1)
        logits = self.decoder(mean + torch.exp(0.5 * logvar) * eps)
        cross_entropy = binary_cross_entropy_with_logits(logits, x, reduction="none")
        kl = 0.5 * (mean**2 + torch.exp(logvar) - logvar - 1.0).sum(dim=1)
        return -cross_entropy.sum(dim=(1, 2, 3)), kl

    def loss(self, x, eps):
        log_likelihood, kl = self.terms(x, eps)
        return (kl - log_likelihood).mean()


def train_step(vae, optimizer, x, eps):
    optimizer.zero_grad()
    loss = vae.loss(x, eps)
    loss.backward()
    optimizer.step()
    return loss.item()


@torch.no_grad()
def evaluate(vae, images, seed=0, batch_size=500):
    vae.eval()
    generator, total = torch.Generator().manual_seed(seed), 0.0
    for x in images.split(batch_size):
        eps = torch.randn((len(x), vae.latent_dim), generator=generator)
        total += vae.loss(x, eps).item() * len(x)
    return total / len(images)


def fit(vae, images, epochs, seed=0, batch_size=100, learning_rate=1e-3):
    optimizer = torch.optim.Adam(vae.parameters(), learning_rate, eps=1e-7)
    generator = torch.Generator().manual_seed(seed)
    for _ in range(epochs):
        vae.train()
        for chosen in torch.randperm(len(images), generator=generator).split(batch_size):
            eps = torch.randn((len(chosen), vae.latent_dim), generator=generator)
            train_step(vae, optimizer, images[chosen], eps)
