"""Labels of measurements on a page, each with a sentence that explains the number."""

from __future__ import annotations

__all__ = ["CHART", "EXPLAINED", "GAP"]

GAP = "Success on seen tasks minus success on unseen tasks, in points; 0: the agent is equally good."
CHART = "The mark is the measured share in per cent; the line is its 95 % interval."

EXPLAINED: dict[str, tuple[str, str]] = {
    "errors": ("errors", "Episodes that broke off because the agent, a server or the simulator failed."),
    "success": ("success", "Share of tasks that were solved; with several seeds, the mean over tasks."),
    "success_sampled": (
        "success of samples",
        "95 of 100 samples of tasks, drawn as the protocol says, have this success.",
    ),
    "score": ("score", "Mean final score, as the benchmark defines it, from 0 to 100."),
    "turns": ("turns", "Mean number of turns of an episode."),
    "invalid_actions": ("invalid actions", "Share of turns whose action the simulator did not execute."),
    "prompt_tokens": ("tokens read", "Mean number of prompt tokens of an episode, summed over its turns."),
    "completion_tokens": ("tokens written", "Mean number of tokens that the model wrote in an episode."),
    "truncated": ("reached the step limit", "Share of episodes that were cut off at the step limit."),
    "dead_end": (
        "ended in a dead end",
        "Share of episodes after which the planner proved that the goal is out of reach.",
    ),
    "unparsable": ("turns without an action", "Share of turns whose reply holds no action."),
    "inadmissible": ("inadmissible actions", "Share of turns whose action the simulator did not execute."),
    "no_effect": ("turns without effect", "Share of turns that changed neither the observation nor the score."),
    "repeated": (
        "repeated turns",
        "Share of turns that do what an earlier turn did under the same observation: loops.",
    ),
    "off_plan": (
        "first turn off plan",
        "Mean number of the first turn that brought the goal no nearer, by the planner.",
    ),
    "reward_type": ("reward for type", "Mean part of a purchase's reward for the right type of product."),
    "reward_attributes": ("reward for attributes", "Mean part of a purchase's reward for the wanted attributes."),
    "reward_options": ("reward for options", "Mean part of a purchase's reward for the wanted options."),
    "reward_price": ("reward for price", "Mean part of a purchase's reward for a price within the budget."),
    "accuracy": ("right", "Share of questions that were answered right; of a pair, the mean over both orders."),
    "accuracy_expert_first": ("right, expert first", "Share right where the expert's action is named first."),
    "accuracy_expert_second": ("right, expert second", "Share right where the expert's action is named second."),
    "right_in_both": ("right in both orders", "Share of pairs that were judged right in both orders."),
    "first_chosen": (
        "chose the first",
        "Share of answers that chose the action named first; 50 without a bias of place.",
    ),
    "format_error_rate": ("malformed", "Share of replies that hold no answer."),
    "numbered": ("answered by number", "Share of replies that name the action by its number."),
    "accuracy_suppressed": ("right, reasoning suppressed", "Share right where the model may not reason."),
    "accuracy_injected": (
        "right, wrong rationale",
        "Share right after a rationale for the other action was put first.",
    ),
    "alternative_chosen": ("took the alternative", "Share of answers that name the alternative action."),
    "alternative_chosen_injected": ("followed the rationale", "Share that took the action of the wrong rationale."),
    "no_answer": ("no answer", "Share of replies in which no answer was found."),
    "admissible": ("admissible", "Share of answers that the simulator would execute."),
    "candidates": ("candidates", "Mean number of admissible actions to choose from."),
}
"""Name of a measurement → its label, and what the number says."""
