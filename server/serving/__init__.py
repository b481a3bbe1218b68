"""Language models over HTTP: FastChat's controller, the workers behind it, and the OpenAI gateway in front of all."""
