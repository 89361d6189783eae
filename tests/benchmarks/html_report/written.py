"""Run folders as programs leave them, written in an instant."""

from pathlib import Path

from act_gym.io.jsonl import RecordWriter, read_records, write_json
from act_gym.types import ActionPair, Episode, ExpertStep, Task, Turn
from agents.prompt_config import Question
from benchmarks.probes.answers import QUESTIONS
from benchmarks.stats.intervals import Interval
from benchmarks.stats.measurement import Measurement, Summary

HOSTILE = (
    "</script><script>alert(1)</script><!--<img src=x onerror=alert(1)>\x1b[31mred\u202eevil\x00 & \ud800\u2028\"'`${1}"
)


def write_summary(folder: Path, kind: str, label: str, *, name: str = "accuracy", text: str = "") -> Path:
    group = ("Cellar", "seen")
    measurements = (
        Measurement.of(name, Interval(0.5, 0.25, 0.75, 8), group),
        Measurement.of(name, Interval(0.25, 0.0, 0.5, 4), (*group, text or "lamp")),
    )
    Summary(kind=kind, label=label, subject=text or "x", measurements=measurements, failures={text: 1}).write(folder)
    return folder


def task_of(number: int, text: str = "") -> Task:
    return Task(id=f"cellar/{text or 'lamp'}/{number}", benchmark="Cellar", split="seen", task_type=text or "lamp")


def episode_of(number: int, agent: str, *, turns: tuple[Turn, ...], text: str = "", success: bool = False) -> Episode:
    return Episode(
        task=task_of(number, text),
        env_id="act/Cellar-seen",
        agent=agent,
        seed=0,
        goal=text or f"light lamp {number}",
        turns=turns,
        final_observation=text or "It is dark.",
        success=success,
        score=float(success),
        raw_score=float(success),
        stop="env_error" if text else "terminated",
        error=text,
    )


def write_episodes(folder: Path, label: str, episodes: list[Episode], *, text: str = "") -> Path:
    write_summary(folder, "episodes", label, name="success", text=text)
    with RecordWriter(folder / "episodes.jsonl") as file:
        for episode in episodes:
            file.write(episode.to_json())
    return folder


def write_question(folder: Path, question: Question) -> Path:
    """Say in a run's manifest how a model was asked."""
    write_json(folder / "manifest.json", {"agent": {"asked_for": "local", "question": question.facts()}})
    return folder


def turns_of(*actions: str, thought: str = "") -> tuple[Turn, ...]:
    last = len(actions) - 1
    return tuple(
        Turn(
            observation=f"You are in room {number}.",
            admissible_commands=("look", action),
            response=f"<action>{action}</action>",
            thought=thought,
            action=action,
            action_valid=action != "dance",
            reward=float(number == last),
            score=float(number == last),
        )
        for number, action in enumerate(actions)
    )


def hostile_turns(text: str, count: int = 1) -> tuple[Turn, ...]:
    turn = Turn(observation=text, admissible_commands=(text,), response=text, thought=text, action=text, reward=-0.5)
    return (turn,) * count


def write_judgement(
    folder: Path, label: str, outcomes: list[str], *, text: str = "", pairs: Path | None = None
) -> Path:
    """Write a judgement of pairs, each asked in both orders; `outcomes` are those of the first one."""
    write_summary(folder, "judge", label, text=text)
    with RecordWriter(folder / "records.jsonl") as file:
        answer = {"action": text or "go north", "reply": text or "<action>go north</action>"}
        for number in (0, 1):
            given = outcomes if number == 0 else ["wrong", "wrong"]
            answers = [{"outcome": outcome, **answer, "log_probabilities": [-1.5, -2.25]} for outcome in given]
            record = {
                "number": number,
                "id": f"cellar/{text or 'lamp'}/0#{number}",
                "benchmark": "Cellar",
                "split": "seen",
            }
            record |= {"task_type": text or "lamp", "proposer": text or "random", "answers": answers}
            file.write({**record, "expert_action": text or "go north", "alternative": text or f"go south {number}"})
    write_questions(folder, pairs)
    return folder


def write_questions(folder: Path, asked: Path | None) -> None:
    """Leave in a run folder what was asked, as the programs do."""
    if asked is not None:
        with RecordWriter(folder / QUESTIONS) as file:
            for number, record in enumerate(read_records(asked)):
                file.write({"number": number, **record})


def write_next_action(
    folder: Path, label: str, outcomes: list[str], *, text: str = "", asked: Path | None = None
) -> Path:
    """Write what was asked for the next action, with an answer for each outcome."""
    write_summary(folder, "next_action", label, text=text)
    said = {"right": "go north", "alternative": "go south 1", "wrong": "look", "inadmissible": "fly", "malformed": ""}
    with RecordWriter(folder / "records.jsonl") as file:
        for number, outcome in enumerate(outcomes):
            answer = {"action": text or said[outcome], "reply": text or f"I shall {said[outcome]}."}
            answer |= {"right": outcome == "right", "malformed": outcome == "malformed", "log_probability": -1.25}
            answer |= {"admissible": outcome != "inadmissible", "took_alternative": outcome == "alternative"}
            record = {"number": number, "id": f"cellar/{text or 'lamp'}/0#{number}", "benchmark": "Cellar"}
            record |= {"split": "seen", "task_type": text or "lamp", "candidates": 3, "suppressed": answer}
            record |= {"rationale": text or "The south is warm.", "injected": answer, "expert_admissible": True}
            file.write({**record, **answer, "expert_action": text or "go north", "alternative": text or "go south 1"})
    write_questions(folder, asked)
    return folder


def write_pairs(path: Path) -> Path:
    with RecordWriter(path) as file:
        for number in (0, 1):
            step = ExpertStep(
                id=f"cellar/lamp/0#{number}",
                task=task_of(0),
                turn=0,
                goal="Light the lamp.",
                history=(),
                observation=f"You stand at door {number}.",
                expert_action="go north",
                admissible_commands=("go north", f"go south {number}", "look"),
            )
            pair = ActionPair(step=step, alternative=f"go south {number}", proposer="random", expert_first=True)
            file.write(pair.to_json())
    return path
