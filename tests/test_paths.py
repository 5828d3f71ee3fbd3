"""Paths between latents: ends, speed, norms; what has no path is refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from vaecourse import measures


def ends(seed, d=5):
    return np.random.default_rng(seed).normal(size=(2, d))


@pytest.mark.parametrize("d", [1, 2, 3, 20, 784])
def test_the_norm_of_the_prior_is_a_chi_variable(d):
    np.testing.assert_allclose(measures.prior_norm(d), (stats.chi(d).mean(), stats.chi(d).std()), rtol=1e-7)


@given(st.integers(0, 10_000), st.integers(2, 12), st.integers(2, 30))
def test_both_paths_begin_and_end_at_the_ends(seed, steps, d):
    first, second = ends(seed, d)
    for path in (measures.straight(first, second, steps), measures.spherical(first, second, steps)):
        assert path.shape == (steps, d)
        np.testing.assert_array_equal(path[[0, -1]], [first, second])


@given(st.integers(0, 10_000), st.integers(2, 30))
def test_the_direction_turns_at_a_constant_speed_and_the_norm_changes_linearly(seed, d):
    first, second = ends(seed, d)
    path = measures.spherical(first, second, 9)
    norms = np.linalg.norm(path, axis=1)
    np.testing.assert_allclose(norms, np.linspace(norms[0], norms[-1], 9), rtol=1e-9)
    u = path / norms[:, np.newaxis]
    whole = np.arccos(np.clip(u[0] @ u[-1], -1, 1))
    angles = np.arccos(np.clip((u[1:] * u[:-1]).sum(axis=1), -1, 1))
    np.testing.assert_allclose(angles, whole / 8, atol=1e-6)


def test_for_ends_of_one_norm_it_is_the_formula_of_the_source():
    first, second = (3 * end / np.linalg.norm(end) for end in ends(1))
    angle = np.arccos(first @ second / 9)
    t = np.linspace(0, 1, 7)[:, np.newaxis]
    expected = (np.sin((1 - t) * angle) * first + np.sin(t * angle) * second) / np.sin(angle)
    path = measures.spherical(first, second, 7)
    np.testing.assert_allclose(path, expected, rtol=1e-9)
    np.testing.assert_allclose(np.linalg.norm(path, axis=1), 3, rtol=1e-12)
    assert np.linalg.norm(measures.straight(first, second, 7)[3]) < 3 * np.cos(angle / 2) + 1e-12


@pytest.mark.parametrize("turn", [0.0, 1e-12, 1e-9, 1e-7, 1e-5])
def test_parallel_ends_and_nearly_parallel_ones_have_a_straight_path(turn):
    first, second = np.array([1.0, 0.0]), 2 * np.array([np.cos(turn), np.sin(turn)])
    path = measures.spherical(first, second, 5)
    assert np.isfinite(path).all()
    np.testing.assert_allclose(path, measures.straight(first, second, 5), atol=2 * turn + 1e-12)


@pytest.mark.parametrize("turn", [0.0, 1e-9])
def test_opposite_ends_are_refused_and_nearly_opposite_ones_are_not(turn):
    first = np.array([1.0, 0.0, 0.0])
    with pytest.raises(ValueError, match="opposite directions"):
        measures.spherical(first, -3 * np.array([np.cos(turn), np.sin(turn), 0]))
    path = measures.spherical(first, np.array([-np.cos(1e-3), np.sin(1e-3), 0]), 5)
    np.testing.assert_allclose(np.linalg.norm(path, axis=1), 1, rtol=1e-9)


BAD_ENDS = {
    "shapes": (np.zeros(2), np.zeros(3), 5, "one shape"),
    "a matrix": (np.zeros((2, 2)), np.zeros((2, 2)), 5, "one shape"),
    "not finite": (np.array([np.nan, 1]), np.ones(2), 5, "finite"),
    "one step": (np.ones(2), np.ones(2), 1, "two steps"),
}


@pytest.mark.parametrize("name", BAD_ENDS)
def test_bad_ends_are_refused(name):
    first, second, steps, words = BAD_ENDS[name]
    for function in (measures.straight, measures.spherical):
        with pytest.raises(ValueError, match=words):
            function(first, second, steps)


def test_zero_has_no_direction_and_no_latents_no_norm():
    with pytest.raises(ValueError, match="no direction"):
        measures.spherical(np.zeros(3), np.ones(3))
    with pytest.raises(ValueError, match="at least one latent"):
        measures.prior_norm(0)


def test_the_way_through_data_follows_a_circle_and_does_not_cross_it():
    angle = np.linspace(0, 1.8 * np.pi, 60)
    codes = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    way = measures.through_data(codes, 3, 50, neighbors=2)
    np.testing.assert_array_equal(way, np.arange(3, 51))
    np.testing.assert_array_equal(measures.through_data(codes, 50, 3, neighbors=2), way[::-1])
    np.testing.assert_array_equal(measures.through_data(codes, 5, 5, neighbors=2), [5])


def test_equal_codes_are_joined_at_no_cost():
    codes = np.array([[0.0], [0.0], [1.0], [2.0]])
    assert list(measures.through_data(codes, 0, 3, neighbors=2))[-2:] == [2, 3]


def test_what_is_not_connected_or_not_there_is_refused():
    codes = np.array([[0.0], [0.1], [9.0], [9.1]])
    with pytest.raises(ValueError, match="not connected"):
        measures.through_data(codes, 0, 3, neighbors=1)
    with pytest.raises(ValueError, match="from 0 to 3"):
        measures.through_data(codes, 0, 4, neighbors=1)
    for bad, neighbors in ((codes[:, 0], 1), (codes, 4), (codes, 0), (codes * np.nan, 1)):
        with pytest.raises(ValueError, match="finite codes"):
            measures.through_data(bad, 0, 1, neighbors)


def test_a_plane_goes_through_its_origin_in_two_orthogonal_directions():
    origin, right = ends(2)
    up = ends(3)[0]
    grid = measures.plane(origin, right, up, n=5, reach=2.0)
    assert grid.shape == (5, 5, 5)
    np.testing.assert_allclose(grid[2, 2], origin)
    across, upwards = grid[2, 4] - origin, grid[0, 2] - origin
    np.testing.assert_allclose(
        [np.linalg.norm(across), np.linalg.norm(upwards), across @ upwards], [2, 2, 0], atol=1e-12
    )
    np.testing.assert_allclose(across / 2, right / np.linalg.norm(right))
    assert upwards @ up > 0
    for wrong in (3 * right, 0 * right):
        with pytest.raises(ValueError, match="neither zero nor parallel"):
            measures.plane(origin, right, wrong)
