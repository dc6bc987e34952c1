"""Sounds: the steps against torchaudio (reference/make_audio.py), files, and whole pipelines."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from regatta_feed.draws import Draws
from regatta_feed.errors import DamagedError, StepError
from regatta_feed.params import Params
from regatta_feed.steps import STEPS, Item
from regatta_feed.steps.sounds import Sound
from regatta_feed.steps.values import numbers
from tests.unit.feed.feeds import Feed

REFERENCE = np.load(Path(__file__).parent / "reference" / "torchaudio.npz")
RATE = 22_050
SOUND = REFERENCE["sound"]


def encoded(samples: Any, *, rate: int = RATE, form: str = "WAV", subtype: str | None = None) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, np.asarray(samples).T, rate, format=form, subtype=subtype)
    return file.getvalue()


def through(value: Any, *steps: tuple[str, dict[str, Any]], key: int = 0) -> Item:
    item = Item(value, 0, "a sound")
    for number, (name, params) in enumerate(steps):
        STEPS[name].read(Params(params, name)).apply(item, Draws(key).of(number))
    return item


def close(found: Any, name: str, *, relative: float) -> None:
    wanted = REFERENCE[name]
    assert found.shape == wanted.shape
    assert found.dtype == np.float32
    assert np.abs(found - wanted).max() <= relative * np.abs(wanted).max()


@pytest.mark.parametrize("rate", [16_000, 8_000, 44_100, 22_051])
def test_resampling_is_that_of_torchaudio(rate: int) -> None:
    item = through(Sound(SOUND, RATE), ("resample", {"rate": rate}))
    assert item.value.rate == rate
    close(item.value.array, f"resampled{rate}", relative=2e-6)


def test_spectrograms_are_those_of_torchaudio() -> None:
    sound = Sound(SOUND, RATE)
    close(numbers(through(sound, ("spectrogram", {})).value)[:, ::3], "spectrogram", relative=2e-6)
    params = {"nFft": 256, "winLength": 200, "hopLength": 80, "power": 1}
    close(numbers(through(sound, ("spectrogram", params)).value), "magnitude", relative=2e-6)


def test_mel_bands_are_those_of_torchaudio() -> None:
    sound = Sound(SOUND, RATE)
    spectrum = ("spectrogram", {"nFft": 1024, "hopLength": 256})
    mel = ("mel", {"nMels": 40, "fMin": 50, "fMax": 8000})
    close(numbers(through(sound, spectrum, mel).value), "mel", relative=1e-5)
    close(numbers(through(sound, ("spectrogram", {}), ("mel", {"nMels": 64})).value), "mel_default", relative=1e-5)
    logarithm = numbers(through(sound, spectrum, mel, ("log", {"offset": 1e-3})).value)
    assert np.allclose(logarithm, np.log(REFERENCE["mel"] + 1e-3), atol=1e-4)


@pytest.mark.parametrize(("form", "subtype"), [("WAV", "FLOAT"), ("WAV", "PCM_16"), ("FLAC", None), ("OGG", None)])
def test_files_of_all_formats_become_sounds(form: str, subtype: str | None) -> None:
    item = through(encoded(SOUND, form=form, subtype=subtype), ("mono", {}))
    assert (item.value.rate, item.value.array.shape[0]) == (RATE, 1)
    count = min(SOUND.shape[1], item.value.array.shape[1])
    difference = np.abs(item.value.array[0, :count] - SOUND.mean(0)[:count])
    assert difference.max() < (0.3 if form == "OGG" else 1e-4)


def test_a_fixed_length_ends_with_zeros_or_is_cut() -> None:
    sound = Sound(SOUND, RATE)
    longer = numbers(through(sound, ("fixedLength", {"length": 5000})).value)
    assert np.array_equal(longer[:, :4000], SOUND)
    assert not longer[:, 4000:].any()
    assert np.array_equal(numbers(through(sound, ("fixedLength", {"length": 100})).value), SOUND[:, :100])
    starts = set()
    for key in range(50):
        cut = numbers(through(sound, ("fixedLength", {"length": 3990, "random": True}), key=key).value)
        (start,) = [n for n in range(11) if np.array_equal(cut, SOUND[:, n : n + 3990])]
        starts.add(start)
    assert starts == set(range(11))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "decode"),
        (b"RIFF", "decode"),
        (b"fLaC" + bytes(100), "decode"),
        (encoded(np.zeros((1, 0), np.float32)), "empty"),
        (encoded(np.zeros((1, 1 << 27), np.int16), form="FLAC"), "too_large"),
        (encoded(np.zeros((1, 9), np.float32), rate=900_000), "decode"),
    ],
    ids=["empty file", "only the magic", "no FLAC", "no samples", "bomb", "rate"],
)
def test_what_is_no_sound_is_damage(data: bytes, reason: str) -> None:
    with pytest.raises(DamagedError) as caught:
        through(data, ("mono", {}))
    assert caught.value.reason == reason


def test_what_would_become_too_large_is_damage() -> None:
    with pytest.raises(DamagedError, match="would become"):
        through(Sound(np.zeros((1, 1 << 20), np.float32), 1), ("resample", {"rate": 768_000}))
    with pytest.raises(DamagedError, match="would become"):
        through(Sound(np.zeros((1, 1 << 20), np.float32), 8000), ("spectrogram", {"hopLength": 1}))
    with pytest.raises(StepError, match="ends at 4000"):
        through(Sound(np.zeros((1, 900), np.float32), 8000), ("spectrogram", {}), ("mel", {"fMin": 5000}))


def test_a_pipeline_of_sounds_runs_and_is_shown(tmp_path: Path) -> None:
    for number in range(20):
        folder = tmp_path / "data" / f"word{number % 2}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number:02}.wav").write_bytes(encoded(np.roll(SOUND, number * 100)[:, : 3000 + number]))
    fields: dict[str, Any] = {
        "source": {"uri": str(tmp_path / "data"), "format": "Audio"},
        "pipeline": [
            {"resample": {"rate": 16000}},
            {"mono": {}},
            {"fixedLength": {"length": 2000, "random": True}},
            {"spectrogram": {"nFft": 256}},
            {"mel": {"nMels": 32}},
            {"log": {}},
            {"normalize": {"mean": [-6.0], "std": [4.0]}},
        ],
    }
    with Feed(tmp_path, **fields) as feed:
        first = [(spectra.copy(), labels.copy()) for spectra, labels in feed.batches()]
    assert first[0][0].shape == (4, 1, 32, 16)
    assert first[0][0].dtype == np.float32
    assert sorted(np.concatenate([labels for _, labels in first]).tolist()) == [0] * 10 + [1] * 10
    with Feed(tmp_path, arguments=("--processes", "1"), **fields) as feed:
        again = [spectra.copy() for spectra, _ in feed.batches()]
    assert all(np.array_equal(one, other[0]) for one, other in zip(again, first, strict=True))
    with Feed(tmp_path, arguments=("--preview", str(tmp_path / "sheet.png")), **fields) as feed:
        assert feed.wait() == 0
        assert (tmp_path / "sheet.png").read_bytes().startswith(b"\x89PNG")
