"""Figures are read from vLLM's own Prometheus text, and rates from the difference of two readings."""

import pytest

from vqa.engine.metrics import MetricsHistory, MetricsSnapshot, read

TEXT = """# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="m"} 2.0
vllm:num_requests_running{engine="1",model_name="m"} 1.0
# TYPE vllm:num_requests_waiting gauge
vllm:num_requests_waiting{engine="0",model_name="m"} 4.0
# TYPE vllm:kv_cache_usage_perc gauge
vllm:kv_cache_usage_perc{engine="0",model_name="m"} 0.25
vllm:kv_cache_usage_perc{engine="1",model_name="m"} 0.5
# TYPE vllm:prompt_tokens counter
vllm:prompt_tokens_total{engine="0",model_name="m"} 300.0
vllm:prompt_tokens_created{engine="0",model_name="m"} 1.7953534103984635e+09
# TYPE vllm:generation_tokens counter
vllm:generation_tokens_total{engine="0",model_name="m"} 50.0
# TYPE vllm:prefix_cache_queries counter
vllm:prefix_cache_queries_total{engine="0",model_name="m"} 400.0
# TYPE vllm:prefix_cache_hits counter
vllm:prefix_cache_hits_total{engine="0",model_name="m"} 100.0
# TYPE vllm:mm_cache_queries counter
vllm:mm_cache_queries_total{engine="0",model_name="m"} 10.0
# TYPE vllm:mm_cache_hits counter
vllm:mm_cache_hits_total{engine="0",model_name="m"} 9.0
# TYPE vllm:num_preemptions counter
vllm:num_preemptions_total{engine="0",model_name="m"} 3.0
# TYPE vllm:request_success counter
vllm:request_success_total{engine="0",finished_reason="stop",model_name="m"} 7.0
vllm:request_success_total{engine="1",finished_reason="stop",model_name="m"} 1.0
vllm:request_success_total{engine="0",finished_reason="abort",model_name="m"} 1.0
# TYPE vllm:cache_config_info gauge
vllm:cache_config_info{block_size="128",enable_prefix_caching="True"} 1.0
"""


def test_several_engines_are_added_up_and_the_fullest_cache_counts() -> None:
    now = read(TEXT, at=10.0)
    assert now is not None
    assert (now.running, now.waiting, now.preemptions) == (3, 4, 3)
    assert (now.prompt_tokens, now.generation_tokens) == (300, 50)
    assert now.kv_cache_use == 0.5
    assert (now.prefix_cache_hit_rate, now.mm_cache_hit_rate) == (0.25, 0.9)
    assert now.request_success == {"stop": 8, "abort": 1}
    assert now.cache_config["block_size"] == "128"


def test_rates_are_per_second_between_readings_and_unknown_after_a_restart() -> None:
    history = MetricsHistory(length=2)
    assert history.add(MetricsSnapshot(10.0, generation_tokens=50)).generation_tokens_per_second is None
    assert history.add(MetricsSnapshot(12.0, generation_tokens=90)).generation_tokens_per_second == 20.0
    assert history.add(MetricsSnapshot(13.0, generation_tokens=5)).generation_tokens_per_second is None
    assert [now.at for now in history.all] == [12.0, 13.0]


def test_figures_survive_json() -> None:
    read_now = read(TEXT, 1.0)
    assert read_now is not None
    now = MetricsSnapshot.from_dict(read_now.to_dict() | {"gpus": [[50, 1, 2]]})
    assert now.gpus == ((50, 1, 2),)


def test_nothing_looked_up_is_no_rate() -> None:
    assert MetricsSnapshot(0.0).prefix_cache_hit_rate is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "python_info 1.0\n",
        "<html>vllm: not found</html>",
        "vllm:num_requests_running{ 2",
        'vllm:=cache_config_info{block_size="16", ="True"} 1.0\n',
        "vllm:num_requests_running NaN\n",
        "vllm:request_success_total +Inf\n",
        "vllm:prompt_tokens_total +Inf\n",
    ],
)
def test_what_holds_no_figures_of_vllm_gives_none_and_ends_nobody(text: str) -> None:
    assert read(text, 0.0) is None
