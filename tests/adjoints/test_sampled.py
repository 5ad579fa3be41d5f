"""The sentence on a sampled ensemble: its independent frames, its doubts, its noise."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from diffmd.adjoints.reweight.sampled import Sampling, by_stretch, error, judged

FINE = Sampling(100.0, 100, 61.0, {"the potential energy": 1.0, "what loss.0 measures": 2.9}, None)
G, E = {"a": np.array(2.0), "b": np.array([3.0, 4.0])}, {"a": np.array(0.5), "b": np.array([0.3, 0.4])}


def test_sentences():
    assert FINE.sentence(G, E) == (
        "The 100 frames are worth 61 that are independent of each other. "
        "The noise is at most 0.25 of a parameter's gradient (a)."
    )
    uneven = dataclasses.replace(FINE, effective=91.23)
    assert "; at these parameters the weights leave 91.23 of them." in uneven.sentence(G, E)
    assert FINE.sentence(G, None).endswith(
        ": too few to tell the noise; write more steps, or more frames (frames: {every: ...})."
    )
    lost = FINE.sentence({"a": np.array(0.1)}, {"a": np.array(0.5)})
    assert "with respect to a (0.1) is smaller than its noise (0.5): write more steps, or take it that the loss" in lost
    few = dataclasses.replace(FINE, independent=7.3)
    assert "worth 7.3 that are" in few.sentence(G, E)
    assert "With fewer than 20 the error itself is uncertain: write more steps" in few.sentence(G, E)
    drifting = dataclasses.replace(FINE, apart={"the potential energy": 5.26, "what loss.0 measures": 1.0})
    assert (
        "has not forgotten its start: the potential energy of the first half of the frames and of the second are 5.3 "
        "of their errors apart, and chance leaves them within 3; leave the first frames out (frames: {from: ...})"
    ) in drifting.sentence(G, E)
    frozen = dataclasses.replace(FINE, still="in half of the time nothing moves")
    assert ". In half of the time nothing moves. The noise" in frozen.sentence(G, E)


def test_the_fewest_independent_frames_of_all_series_count():
    rng = np.random.default_rng(0)
    free, slow = rng.normal(size=400), np.repeat(rng.normal(size=40), 10)
    told = judged(800.0, 800, {"one": free}, {"a": free[:, None]}, None)
    assert 600 < told.independent <= 800
    assert judged(800.0, 800, {"one": free, "two": slow}, {"a": free}, None).independent < 200
    assert judged(800.0, 800, {"one": free}, {"a": slow}, None).independent < 200


def test_what_influences_add_up_to():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(500, 2)) * [1, 3] / 500
    np.testing.assert_allclose(error(x), np.array([1, 3]) / np.sqrt(500), rtol=0.15)
    assert error(x[:7]) is None
    x -= x.mean(axis=0)
    shares = by_stretch({"a": np.array([2.0, 1.0])}, {"a": x})
    assert shares.shape == (10,)
    first = np.array([2.0, 1.0]) + 500 * x[:50].mean(axis=0)
    # The norm may be computed with fused products, by processor.
    assert shares[0] == pytest.approx(np.linalg.norm(first) / np.sqrt(5.0), rel=1e-14)
