"""Ways to draw a face, one file each; see worker/renderer.py for the port."""
