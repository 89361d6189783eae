"""ScienceWorld behind the `Engine` protocol.

| module | what it is |
|---|---|
| `engine` | the rules of the house: states, scores, legal commands |
| `gold` | solutions, and where they are kept |
| `moments` | what can be asked of a state, then or later |
| `lasting` | a task that outlives its Java process, and the way back in it |
| `world` | one running task, undisturbed by its siblings in the same Java process |
| `shared` | what all tasks in one Java process share, and how each gets its own |
| `jvm`, `gateway` | the Java process and the talk with it |
"""

from act_gym.engines.scienceworld.engine import SIMPLIFICATIONS, JvmEngine

__all__ = ["SIMPLIFICATIONS", "JvmEngine"]
