"""The settings: each AVATAR_* variable in one table, with what it means and who reads it."""
