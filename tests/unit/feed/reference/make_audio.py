"""Makes torchaudio.npz: what torchaudio does with one sound. Run it where torch and torchaudio are installed.

python tests/unit/feed/reference/make_audio.py
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torchaudio
from torchaudio import functional as F  # noqa: N812
from torchaudio import transforms as T  # noqa: N812

RATE = 22_050


def main() -> None:
    times = np.arange(4000) / RATE
    random = np.random.default_rng(0)
    wave = 0.4 * np.sin(2 * np.pi * (300 + 4000 * times) * times) + 0.1 * random.normal(size=(2, len(times)))
    sound = torch.from_numpy(np.clip(wave, -1, 1).astype(np.float32))
    found = {"sound": sound}
    for rate in (16_000, 8_000, 44_100, 22_051):
        # In float32 its own filter is off by up to 2e-4.
        found[f"resampled{rate}"] = F.resample(sound.double(), RATE, rate).float()
    found["spectrogram"] = T.Spectrogram()(sound)[:, ::3]
    found["magnitude"] = T.Spectrogram(n_fft=256, win_length=200, hop_length=80, power=1.0)(sound)
    found["mel"] = T.MelSpectrogram(RATE, n_fft=1024, hop_length=256, n_mels=40, f_min=50.0, f_max=8000.0)(sound)
    found["mel_default"] = T.MelSpectrogram(RATE, n_mels=64)(sound)
    kept = {name: each.numpy() for name, each in found.items()}
    kept["version"] = np.array(torchaudio.__version__)
    np.savez_compressed(Path(__file__).with_name("torchaudio.npz"), **kept)


if __name__ == "__main__":
    main()
