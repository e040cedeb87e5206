"""The commands of those who make and debug faces: speak, replay, doctor, characters."""
