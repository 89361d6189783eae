import re

from benchmarks.html_report.charts import learning, strip
from benchmarks.stats.measurement import Measurement


def number(value, low, high, split):
    return Measurement(name="success", value=value, n=10, low=low, high=high, split=split)


def test_a_strip_says_its_numbers_and_draws_each_split_with_a_mark_of_its_own():
    drawn = strip([number(0.5, 0.25, 0.75, "seen"), number(0.25, 0.0, 1.0, "generated-unseen")])
    assert 'aria-label="seen 50.0 [25.0, 75.0] per cent; generated-unseen 25.0 [0.0, 100.0] per cent"' in drawn
    assert drawn.count("<circle") == 1
    assert drawn.count("<polygon") == 1
    (middle,) = re.findall(r'cx="([\d.]+)"', drawn)
    low, high = re.search(r'<line x1="([\d.]+)" x2="([\d.]+)" y1="[\d.]+" y2="[\d.]+" class="whisker"', drawn).groups()
    assert float(low) < float(middle) < float(high)
    assert float(middle) == (float(low) + float(high)) / 2


def test_a_stage_that_was_not_measured_leaves_a_gap():
    values = [number(0.1, 0.0, 0.2, "seen"), None, number(0.9, 0.8, 1.0, "seen")]
    drawn = learning("Success", ["base", "warm-up", "after ACT"], {("seen", "alfworld-seen-mini"): values})
    assert "alfworld-seen-mini: base 10.0 [0.0, 20.0], warm-up –" in drawn
    assert drawn.count('class="whisker"') == 2
