"""The commands of those who make and mend faces: speak, replay, doctor, characters."""
