"""vLLM as an engine of t2d: an exact mixture for each request, many in one batch, through vLLM's own LoRA machinery.

`extension` runs in vLLM's workers and replaces the product of the target layers (`layers` is its arithmetic, `patches`
says what of vLLM is replaced). `plugin` runs in vLLM's API server and answers the protocol of t2-engine(7) (`engine` is
its logic). `resolver` lets a client of vLLM name what t2d serves. `cli` is t2-vllm, which starts vLLM with all of it.
"""
