"""The people: diaries, use, wants, answers."""
