"""Collapse measures, plots and verdicts at the edges, and on tables that training has left."""

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_limits

from adrec_nb.collapse import collapse_report, effective_rank, plot_spectra, plot_spectra_history
from adrec_nb.collapse import marchenko_pastur, plain_singular_values, table_spectra
from adrec_nb.spectra import KINDS, singular_values
from adrec_nb.diagnosis import verdict, verdict_from_spectra

N, D = 1008, 64
RNG = np.random.default_rng(0)
GROUP = np.arange(N) % 24
NOISE = 0.1 * RNG.normal(size=(N, D))
CLUSTERS = 0.5 * RNG.normal(size=(24, D))[GROUP] + 0.5 * RNG.normal(size=(N, D))
SAME = np.tile(RNG.normal(size=8), (50, 1))


@pytest.fixture(autouse=True)
def one_thread():
    with threadpool_limits(1):
        yield


def orthonormal(n, d, seed):
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(n, d)))[0]


@pytest.mark.parametrize("wrong", [CLUSTERS, [1.0, -1.0], [1.0, np.nan]])
def test_effective_rank_refuses(wrong):
    with pytest.raises(ValueError, match="singular values"):
        effective_rank(wrong)


def test_effective_rank_of_tiny_shares_and_scales():
    assert effective_rank([1e10, 5e-324]) == 1  # a share too small for a float is a share of 0
    s = singular_values(CLUSTERS)
    assert effective_rank(1e-3 * s) == pytest.approx(effective_rank(s))


def test_report_closed_forms():
    even = collapse_report(orthonormal(N, D, 5))
    spike = collapse_report(np.outer(RNG.normal(size=N), RNG.normal(size=D)))
    names = ["effective_rank_raw", "energy_top1_raw", "energy_top4_raw"]
    np.testing.assert_allclose(even[names], [D, 1 / D, 4 / D], rtol=1e-9)
    for kind in KINDS:
        names = [f"effective_rank_{kind}", f"energy_top1_{kind}"]
        np.testing.assert_allclose(spike[names], 1, rtol=1e-6)
    mean = CLUSTERS.mean(0)
    share = N * (mean**2).sum() / (CLUSTERS**2).sum()
    assert collapse_report(CLUSTERS)["offset_share"] == pytest.approx(share)


def test_report_is_blind_to_order_scale_and_rotation():
    before, shuffle = collapse_report(CLUSTERS, GROUP), RNG.permutation(N)
    after = collapse_report(CLUSTERS[shuffle], GROUP[shuffle])
    np.testing.assert_allclose(after, before, rtol=1e-9)
    scaled = collapse_report(CLUSTERS * -7, GROUP).drop("top_singular_value")
    np.testing.assert_allclose(scaled, before.drop("top_singular_value"), rtol=1e-9)
    turned = collapse_report(CLUSTERS @ orthonormal(D, D, 3), GROUP)
    names = [name for name in before.index if name.endswith(("raw", "centred", "share", "value"))]
    np.testing.assert_allclose(turned[names], before[names], rtol=1e-9)


def test_report_of_tables_at_the_edge():
    few, twice = collapse_report(NOISE[:40]), collapse_report(np.r_[NOISE, NOISE])
    assert 0 < few["noise_distance"] < 0.15 and few["effective_rank_raw"] < 40
    once = collapse_report(NOISE)
    assert twice["effective_rank_centred"] == pytest.approx(once["effective_rank_centred"])
    assert twice["noise_distance"] > 2 * once["noise_distance"]  # copies are noticed
    equal, zero = collapse_report(SAME), collapse_report(np.zeros((9, 4)))
    assert equal["effective_rank_centred"] == 0 and np.isnan(equal["noise_distance"])
    assert equal["offset_share"] == pytest.approx(1)
    assert zero["effective_rank_raw"] == 0 and np.isnan(zero["energy_top1_raw"])
    assert zero["outliers"] == 0
    assert collapse_report(NOISE[:1])["effective_rank_raw"] == 1
    assert collapse_report(NOISE[:, :1])["energy_top4_raw"] == 1


def test_report_of_a_tensor():
    tensor, before = torch.tensor(CLUSTERS), collapse_report(CLUSTERS, GROUP)
    np.testing.assert_array_equal(collapse_report(tensor, GROUP), before)
    np.testing.assert_allclose(collapse_report(tensor.float(), GROUP), before, rtol=1e-5)
    np.testing.assert_allclose(collapse_report(tensor.bfloat16(), GROUP), before, rtol=2e-2)


def test_planted_singular_values_come_back():
    planted = np.r_[5, 4, 3, 2, 1, np.zeros(27)]
    E = orthonormal(200, 32, 1) * planted @ orthonormal(32, 32, 2)
    np.testing.assert_allclose(singular_values(E), planted, atol=1e-12)


def test_what_is_taken_out_first_sees_through_a_disguise():
    scaled = NOISE * np.exp(1.5 * RNG.normal(size=D))
    turned, shuffled = CLUSTERS @ orthonormal(D, D, 3), RNG.permutation(CLUSTERS)
    shifted = CLUSTERS + 2 * RNG.normal(size=D)
    pairs = [(shifted, CLUSTERS, "centred"), (scaled, NOISE, "standardised")]
    pairs += [(turned, CLUSTERS, "raw"), (turned, CLUSTERS, "centred")]
    for other, original, kind in pairs + [(shuffled, CLUSTERS, kind) for kind in KINDS]:
        expected = singular_values(original, kind)
        np.testing.assert_allclose(singular_values(other, kind), expected)
    assert singular_values(shifted)[0] > 5 * singular_values(CLUSTERS)[0]


def test_fast_and_plain_singular_values():
    for E in (NOISE, CLUSTERS, NOISE + 1, 0.01 * CLUSTERS):
        for kind in KINDS:
            fast, plain = singular_values(E, kind), plain_singular_values(E, kind)
            np.testing.assert_allclose(fast, plain, rtol=1e-9, atol=1e-9)


def test_one_measure_can_be_fooled():
    "A narrow table under noise has the effective rank of the clusters, and a shuffled one all."
    narrow = RNG.normal(size=(N, 4)) @ RNG.normal(size=(4, D)) + 2 * RNG.normal(size=(N, D))
    mine, healthy = collapse_report(narrow, GROUP), collapse_report(CLUSTERS, GROUP)
    name, top = "effective_rank_centred", "energy_top4_centred"
    assert mine[name] > healthy[name] - 5 and mine[top] > 2 * healthy[top]
    ruined = collapse_report(RNG.permutation(CLUSTERS), GROUP)
    np.testing.assert_allclose(ruined[:-2], healthy[:-2])
    assert ruined["label_share"] < 2 * ruined["label_share_by_chance"] < healthy["label_share"]


def test_plots_draw_the_numbers():
    tables = {"noise": NOISE, "clusters": CLUSTERS}
    given = {name: singular_values(E) for name, E in tables.items()}
    lines = plot_spectra(tables, "raw").axes[0].lines
    again = plot_spectra(given, "raw", shape=(N, D)).axes[0].lines
    for line, other in zip(lines, again, strict=True):
        np.testing.assert_array_equal(line.get_ydata(), other.get_ydata())
    s = given["clusters"]
    np.testing.assert_allclose(lines[1].get_ydata(), s / np.sqrt((s**2).mean()))
    curve = marchenko_pastur(N, D).noise_curve()
    np.testing.assert_allclose(lines[-1].get_ydata(), curve / N**0.5, rtol=1e-3)


def test_plots_of_two_shapes_zeros_and_nothing():
    tables = {"few": NOISE[:40], "zeros": np.zeros((N, D))}
    labels = [line.get_label() for line in plot_spectra(tables).axes[0].lines]
    curves = ["noise curve, 40 x 64", "noise curve, 1,008 x 64"]
    assert labels[1:] == ["zeros: effective rank 0.0", *curves]
    for arguments in ({"a": [1.0]},), ({"a": [1.0]}, "raw", (N, D)), ({},):
        with pytest.raises(ValueError, match="needs"):
            plot_spectra(*arguments)
    with pytest.raises(ValueError, match="at least one"):
        plot_spectra_history({}, (N, D))


def test_history_has_a_panel_a_stage_and_its_name():
    spectra = {(stage, epoch): table_spectra(CLUSTERS) for stage in (1, 3) for epoch in (0, 5)}
    panels = plot_spectra_history(spectra, (N, D), stages={1: "pre-train"}).axes
    assert [panel.get_title() for panel in panels] == ["pre-train", "stage 3"]
    assert [len(panel.lines) for panel in panels] == [3, 3]  # epochs, and the curve


def test_verdict_from_spectra_is_the_verdict_of_the_table():
    common = RNG.normal(size=D)
    for E in (NOISE, CLUSTERS, NOISE + common, CLUSTERS + 10 * common):
        assert verdict_from_spectra(table_spectra(E), E.shape) == verdict(E)


@pytest.mark.parametrize("far", [0.0, 0.3, 0.45, 0.6, 2.0, 10.0, 100.0])
def test_a_common_vector_makes_noise_merged_and_leaves_health_alone(far):
    common = RNG.normal(size=D)
    unit = common / np.linalg.norm(common)
    for E, expected in ((NOISE, "merged" if far > 0.577 else "noise"), (CLUSTERS, "healthy")):
        length = np.sqrt((E**2).sum() / N)
        assert verdict(E + far * length * unit).name == expected
