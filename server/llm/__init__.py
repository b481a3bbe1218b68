"""Language models: names -> LangChain chat models, prompts, and the scripted model that stands in for one in tests."""
