"""The contact centre: agents, skills, shifts, queues and impatience, at full size."""
