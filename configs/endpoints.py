"""Settings of one online service; in: a block under llm.endpoints; out: an `Endpoint`, checked."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Price(BaseModel):
    """What a service takes for a million tokens."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    prompt: float = Field(ge=0, description="For a million tokens of questions.")
    completion: float = Field(ge=0, description="For a million tokens of answers.")
    currency: str = Field("USD", min_length=1, max_length=8, description="Only shown.")


class Endpoint(BaseModel):
    """An OpenAI-compatible service elsewhere."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)

    base_url: str = Field(
        "https://api.openai.com/v1",
        pattern=r"^https?://",
        description="Up to and including /v1; Azure: https://NAME.openai.azure.com/openai.",
    )
    models: tuple[str, ...] = Field(min_length=1, description="Model names that this endpoint serves, as clients will ask for them.")
    api_key_env: str = Field(
        "OPENAI_API_KEY", description="Environment or .env variable that holds the key, where llm.keys_file names none."
    )
    api: Literal["openai", "azure"] = Field(
        "openai", description="azure: an api-key header, the deployment in the path, api_version in the query."
    )
    api_version: str = Field("", pattern=r"^[\w.-]*$", description="Azure's api-version, such as 2024-10-21.")
    deployments: dict[str, str] = Field({}, description="Azure: model to deployment, where the deployment is not called like the model.")
    prices: dict[str, Price] = Field(
        {}, description="Model to price, for the costs that are shown: {gpt-4o: {prompt: 2.5, completion: 10}}."
    )
    proxy: str | None = Field(None, description="HTTP proxy for this endpoint.")
    timeout_s: float = Field(120.0, gt=0, description="Longest silence of the endpoint.")
    patience_s: float = Field(
        10.0, ge=0, description="So long a request may rest for a free key and be tried again; 0: one try. Bulk runs wait longer."
    )

    @model_validator(mode="after")
    def _of_one_form(self) -> Endpoint:
        if self.api == "azure" and not self.api_version:
            raise ValueError("api azure needs an api_version, such as 2024-10-21")
        if self.api == "openai" and (self.api_version or self.deployments):
            raise ValueError("api_version and deployments do nothing for api openai; leave them out, or set api to azure")
        if unknown := sorted(set(self.prices) - set(self.models)):
            raise ValueError(f"prices names {unknown[0]!r}, which is not among models")
        return self
