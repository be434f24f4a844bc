"""The published timesteps, and the sampler's arithmetic."""

import pytest
import torch

from engine.core.errors import EngineError
from engine.model.schedule import Schedule, advanced, denoised, flow_between, noised

LISTED = (1000, 750, 500, 250)


def test_steps_are_warped_by_default_as_the_models_were_trained() -> None:
    steps = Schedule(5.0).steps(LISTED)
    assert [step.t for step in steps] == pytest.approx([1000, 937.5, 833.3333, 625], abs=1e-3)
    assert [step.sigma for step in steps] == pytest.approx([1, 0.9375, 0.833333, 0.625], abs=1e-6)


def test_literal_steps_look_up_the_nearest_entry() -> None:
    steps = Schedule(5.0).steps((750, 500, 250, 0), warped=False)
    assert [step.t for step in steps] == [750, 500, 250, 0]
    assert [step.sigma for step in steps] == pytest.approx([0.75, 0.5006, 0.251597, 0.00498], abs=1e-5)


@pytest.mark.parametrize("nominal", [-1, 1001])
def test_a_step_outside_the_table_is_refused(nominal: int) -> None:
    with pytest.raises(EngineError, match=f"step {nominal} is outside"):
        Schedule(5.0).steps((1000, nominal))


def test_noising_and_denoising_are_inverse() -> None:
    draw = torch.Generator().manual_seed(2)
    clean, noise = (torch.randn(1, 3, 16, 4, 4, generator=draw) for _ in range(2))
    sigma = torch.tensor([0.2, 0.6, 1.0]).view(1, 3, 1, 1, 1)
    x = noised(clean, noise, sigma)
    torch.testing.assert_close(flow_between(x, clean, sigma), noise - clean, atol=1e-5, rtol=0)
    torch.testing.assert_close(denoised(x, noise - clean, sigma), clean, atol=1e-6, rtol=0)
    torch.testing.assert_close(advanced(x, noise - clean, sigma, 0.0), clean, atol=1e-6, rtol=0)


def test_latents_keep_their_dtype() -> None:
    half = torch.ones(2, dtype=torch.bfloat16)
    results = (noised(half, half, 0.5), denoised(half, half, 0.5), advanced(half, half, 0.5, 0.25))
    assert {value.dtype for value in results} == {torch.bfloat16}


def test_training_weights_have_mean_one_and_peak_in_the_middle() -> None:
    schedule = Schedule(5.0)
    weights = schedule.training_weights()
    assert weights.mean().item() == pytest.approx(1, abs=1e-5)
    assert schedule.timesteps[weights.argmax()].item() == pytest.approx(500, abs=1)
