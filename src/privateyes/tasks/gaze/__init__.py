"""Gaze estimation from one eye image and the head's pose.

Angles are (pitch, yaw) in radians everywhere inside the program, in the normalised camera's frame: x right, y down, z
away from the camera. Pitch is positive upwards, yaw is positive towards the image's left. One person is one client.
"""
