"""Counting: say a number after adding up to it. The smallest benchmark for act-gym."""

from dataclasses import replace

from act_gym import AgentAction, Benchmark, StepResult, Task

TARGETS = {"seen": range(2, 8), "unseen": range(8, 14)}
BENCHMARK = Benchmark(
    name="Counting",
    splits=tuple(TARGETS),
    max_turns=20,
    task_source="act_gym_counting:tasks",
    engines={"python": "act_gym_counting:Engine"},
    success="the right number is said within the step limit",
)


def tasks(split=None):
    chosen = TARGETS if split is None else {split: TARGETS[split]}
    return tuple(
        Task(
            id=f"counting/{n}", benchmark="Counting", split=name, task_type="odd" if n % 2 else "even", payload={"n": n}
        )
        for name, numbers in chosen.items()
        for n in numbers
    )


class Engine:
    versions = {"counting": "1.0"}

    def reset(self, task):
        self.count, self.target = 0, task.payload["n"]
        self.goal = f"Count to {self.target}, then say it."
        return self.state("You have 0.")

    def step(self, command):
        if command == "add":
            self.count += 1
            return self.state(f"You have {self.count}.")
        if command == "say":
            won = self.count == self.target
            return replace(self.state("Said."), score=float(won), raw_score=float(won), success=won, terminated=True)
        return replace(self.state("Nothing happens."), action_valid=False)

    def state(self, text):
        return StepResult(observation=text, score=0.0, raw_score=0.0, success=False, terminated=False)

    def admissible_commands(self):
        return ("add", "say")

    def expert_commands(self):
        return ("add",) * self.target + ("say",)

    def close(self):
        pass


class Counter:
    """Counts to its own number, whatever the goal says."""

    cheap = True

    def __init__(self, to="5"):
        self.name, self.to = f"counter:{to}", int(to)

    def act(self, views):
        return [AgentAction(action="add" if len(view.history) < self.to else "say") for view in views]


def suites():
    from benchmarks.suites import content_hash

    ids = [task.id for task in tasks("seen")]
    digest = content_hash("Counting", ids, 20, BENCHMARK.success)
    return {
        "counting-seen": {"version": 1, "env_id": "act/Counting-seen", "max_turns": 20, "size": 6, "sha256": digest}
    }
