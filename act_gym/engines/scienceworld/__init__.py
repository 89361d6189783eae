"""ScienceWorld engine.

| module | content |
|---|---|
| `engine` | states, scores, lazy admissible commands, snapshots |
| `gold` | gold solutions and their cache |
| `recovery` | crash recovery by replay |
| `simulator` | one running task, isolated from others in the same Java process |
| `jvm_globals` | global state of the Java process, saved for each task |
| `jvm`, `py4j_client` | the Java process and its client |
"""

from act_gym.engines.scienceworld.engine import SIMPLIFICATIONS, JvmEngine

__all__ = ["SIMPLIFICATIONS", "JvmEngine"]
