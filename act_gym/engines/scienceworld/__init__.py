"""ScienceWorld behind the `Engine` protocol.

| module | what it is |
|---|---|
| `engine` | the rules of the house: states, scores, legal commands |
| `gold` | solutions, and where they are kept |
| `world` | one running task, undisturbed by its siblings in the same Java process |
| `jvm` | the Java process and the talk with it |
"""

from act_gym.engines.scienceworld.engine import JvmEngine

__all__ = ["JvmEngine"]
