"""The leaderboard: submissions, their verification, and the program that takes runs in."""
