"""Sample images into files, and between images."""
