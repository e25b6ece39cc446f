"""Choices that cannot work together, and choices that can although they look alike."""

# what is set -> what the one line must name
REFUSED = {
    "++evaluation.user=3": "unknown key evaluation.user; did you mean users.; valid keys: .*users",
    "+seeed=1": "unknown key seeed; did you mean seed",
    "+model.lora.rank=3": "unknown key model.lora.rank; valid keys: alpha",
    "probe.every=???": r"probe.every=\?\?\? is not a value",
    "model.lora.r=???": r"model.lora.r=\?\?\? is not a value",
    "until=chian": r"no stage chian \(did you mean chain\?\); there are prepare, split",
    "force=[split,nope]": "no stage nope; there are prepare, .*diagnose, fuse, report",
    "artefacts=": "artefacts= is empty",
    "logger.report_to=[[1]]": r"logger.report_to has \[1\]; choose from",
    "evaluation.arms=[[1]]": r"evaluation.arms has \[1\]; choose from",
    "force=[[1]]": r"no stage \[1\]",
    "force=${seed}": "force=0 should be a list",
    "evaluation.arms=${dataset.name}": r"evaluation.arms=toy should be a list",
    "noise.params=${seed}": "noise.params=0 should be a table",
    "model.lora=${seed}": "model.lora=0 should be a table",
    "reward.parts.step=${seed}": "reward.parts.step=0 should be a table",
    "dataset=ml_1m dataset.root=": "dataset.root= is empty",
    "model.path=": "model.path= is empty",
    "hardware.threads=0": "hardware.threads=0",
    "prompt.title_length=3": "prompt.title_length=3 should be 4 or more",
    "model.lora.dropout=1": "model.lora.dropout=1.0",
    "model.lora.dropout=-0.1": "model.lora.dropout=-0.1",
    "baseline=tallrec baseline.adapt.lora.dropout=2": "baseline.adapt.lora.dropout=2",
    "baseline=tallrec baseline.adapt.lora.r=0": "baseline.adapt.lora.r=0",
    "model=tiny_scratch model.tiny.hidden=33": (
        "model.tiny.hidden=33 should be a multiple of 2 x model.tiny.heads=3"
    ),
    "model=tiny_scratch model.tiny.heads=0": "model.tiny.heads=0",
    "model=tiny_scratch model.tiny.steps=0": "model.tiny.steps=0",
    "model=tiny_scratch model.tiny.vocabulary=9": "model.tiny.vocabulary=9 should be 263 or more",
    "model=tiny_scratch model.tiny.learning_rate=nan": "model.tiny.learning_rate=nan",
    "dataset.params.seed=-1": "dataset.params.seed=-1",
    "noise=random noise.params.kind=foo": "noise.params.kind=foo; choose from random",
    "noise=random +noise.params.targets=-5": "noise.params.targets=-5",
    "noise=cold noise.params.kept=-1": "noise.params.kept=-1",
    "baseline=item_knn baseline.params.neighbours=-1": "baseline.params.neighbours=-1",
    "baseline=item_knn baseline.params.shrink=-1": "baseline.params.shrink=-1",
    "baseline=ease baseline.params.regularisation=0": "baseline.params.regularisation=0",
    "chain_sampler=evidence chain_sampler.params.recent=0": "chain_sampler.params.recent=0",
    "chain_sampler=evidence chain_sampler.params.taste=-1": "chain_sampler.params.taste=-1",
    "chain_sampler=evidence chain_sampler.params.decay=nan": "params.decay=nan should be finite",
    "baseline=sasrec baseline.params.dim=0": "baseline.params.dim=0",
    "baseline=sasrec baseline.params.heads=3": (
        "dim=64 should be a multiple of baseline.params.heads=3"
    ),
    "baseline=sasrec baseline.params.dropout=1": "baseline.params.dropout=1",
    "baseline=caser baseline.params.window=0": "baseline.params.window=0",
    "baseline=gru4rec baseline.params.hidden=0": "baseline.params.hidden=0",
    "baseline=llara baseline.vectors.params.blocks=0": "baseline.vectors.params.blocks=0",
    "baseline@fusion=lightgcn fusion.params.layers=0": "fusion.params.layers=0",
    "baseline=popularity baseline._target_=null": "baseline._target_=null .* baseline=none",
    "noise=flip noise._target_=null": "noise._target_=null .* noise=none",
    "baseline@fusion=ease fusion._target_=null": "that is baseline@fusion=none",
    "baseline@witness=gru4rec evaluation.temporal=true": "has learnt from ratings of any time",
    "baseline=item_knn +baseline.params.times=[1]": "params.times: .*item_knn_scores takes",
    "noise=cold noise.params.share=2": "noise.params.share=2 should be 0 to 1",
    "baseline@witness=gru4rec chain_sampler=closed": (
        "is told with evidence chains: add chain_sampler=evidence prompt=evidence"
    ),
    "baseline@witness=gru4rec chain_sampler=retrieval": "add chain_sampler=evidence",
    "baseline@witness=gru4rec chain_sampler=evidence baseline=ease": "leave baseline=ease out",
    "baseline@witness=gru4rec chain_sampler=evidence witness.folds=1": "witness.folds=1",
    "baseline@witness=gru4rec chain_sampler=evidence witness.params.dim=0": (
        "witness.params.dim=0 should be 1 or more"
    ),
    "baseline@witness=gru4rec witness._target_=null": "that is baseline@witness=none",
    **{
        f"baseline@witness={name} chain_sampler=evidence": (
            f"baseline@witness={name} can't place items by a history alone; "
            "choose gru4rec or sasrec"
        )
        for name in ("caser", "lightgcn", "ngcf", "graphsage", "popularity", "ease", "llara")
    },
    "baseline=counter chain_sampler=closed": (
        "baseline=counter counts evidence chains: add chain_sampler=evidence prompt=evidence"
    ),
    "baseline=counter chain_sampler=retrieval": "add chain_sampler=evidence",
    "baseline=counter_fitted chain_sampler=evidence prompt=no_chain": "add .* prompt=evidence",
    "baseline=counter_fitted chain_sampler=evidence sft=off": (
        "baseline=counter_fitted has no targets to learn from: give baseline.count.samples=500"
    ),
    "baseline=counter chain_sampler=evidence baseline.count.penalty=0": (
        "baseline.count.penalty=0.0 should be above 0"
    ),
    "baseline=counter chain_sampler=evidence baseline._target_=os.getcwd": (
        r"called as \(cases, prompt, \*\*params\)"
    ),
    "chain_sampler=evidence baseline@counters.counter=ease": "counters.counter=ease counts no evid",
    "chain_sampler=evidence +baseline@counters.another=counter_fitted": "are both fitted",
    "baseline@fusion=counter": "baseline@fusion=counter has no scores",
    "baseline=popularity baseline._target_=os.getcwd": "os.getcwd can't be called as a baseline is",
    "noise=random ~noise.params.kind": "can't be called as a noise is: missing a required .*kind",
    "+evaluation.references.x=r2rec.baselines.sasrec.SASRec": (
        "references.x._target_=r2rec.* is a class"
    ),
    "dataset=amazon_books dataset.category=Office_Products": (
        "Books; .*dataset=amazon dataset.category=Office_P"
    ),
    "dataset@train_on=amazon_office train_on.category=Books": (
        "dataset@train_on=amazon_office is Office_Products"
    ),
    "dataset.category=X": "dataset=toy has no categories; leave dataset.category out",
    "dataset=ml_100k dataset.category=X": "dataset=ml_100k has no categories",
    "dataset.root=/x": "dataset=toy reads no files, so dataset.root=/x has no effect",
    "seed=-1": "seed=-1",
    "hardware.processes=3": "cannot be shared out over hardware.processes=3",
    "hardware=fsdp probe=slice": "probe.users=100: one process asks",
    "hardware.device=warp": "hardware.device=warp",
    "dataset=amazon": "dataset.category",
    "dataset.params.users=-3": "dataset.params.users=-3",
    "evaluation.negatives=0": "evaluation.negatives=0",
    "evaluation.negatives=26": "26 labels",
    "dataset.params.items=15": "15 items",
    "evaluation.users=0": "evaluation.users=0",
    "evaluation.min_positives=2": "evaluation.min_positives",
    "evaluation.metrics=[hr@1,HR@03]": r"no metric HR@03 \(did you mean hr@3\?\); there are hr@K",
    "evaluation.metrics=[precision@3]": "no metric precision@3; there are hr@K, ndcg@K and mrr",
    "evaluation.metrics=[mrr@3]": r"no metric mrr@3 \(did you mean mrr\?\)",
    "evaluation.metrics=[hr@0]": r"no metric hr@0 \(did you mean hr@1\?\)",
    "evaluation.metrics=[ndcg@21]": "ndcg@21 looks further than the 20 candidates",
    "evaluation.metrics=[mrr,hr@1,mrr]": "mrr is named twice",
    "evaluation.metrics=[]": "no metric is named",
    "evaluation.metrics=[[1]]": r"no metric \[1\]",
    "evaluation.resamples=0": "evaluation.resamples",
    "evaluation.arms=[base,ppo]": "ppo",
    "evaluation.positive_above=nan": "evaluation.positive_above=nan",
    "evaluation.arms=[] ~evaluation.references.random ~evaluation.references.popularity": (
        "no methods to evaluate"
    ),
    "+evaluation.references.x=r2rec.nope.score": (
        r"evaluation.references.x._target_=r2rec.nope.score"
    ),
    "sft.task=essay": "sft.task=essay",
    "sft.samples=0": "sft=off",
    "sft.task=mix chain_sampler=none": "chain_sampler=none",
    "sft.task=chain_rating chain_sampler.per_user=0": "asks about chains",
    "sft.task=mix chain_sampler=open": "chain_sampler=open",
    "rl.loss=foo": "rl.loss=foo",
    "rl.trainer=ppo": "rl.trainer=ppo; choose from rl, rft",
    "rl=rft rl.params.rounds=0": "rl.params.rounds=0 should be a whole number, 1 or more",
    "rl=rft +rl.params.beta=1": "unknown rl.params.beta; rl=rft has rounds, keep",
    "+rl.params.rounds=1": "rl.params has rounds; rl.trainer=rl takes none",
    "rl.schedule=foo": "rl.schedule=foo",
    "rl.scale_rewards=foo": "rl.scale_rewards=foo",
    "logger.report_to=[nope]": "report_to has nope",
    "sft.batch_size=10 sft.micro_batch_size=4": "sft.batch_size=10",
    "sft.micro_batch_size=0": "sft.micro_batch_size=0",
    "sft.epochs=0": "sft.epochs=0",
    "sft.learning_rate=nan": "sft.learning_rate=nan",
    "reward=none": "reward=paper",
    "rl.group_size=1": "rl.group_size",
    "rl.samples=1": "rl.samples=1",
    "rl.prompts_per_step=3": "rl.micro_batch_size=16",
    "hardware=fsdp rl.group_size=4 rl.prompts_per_step=3 rl.micro_batch_size=3": (
        "is 6 for each of 2"
    ),
    "rl.micro_batch_size=0": "rl.micro_batch_size=0",
    "rl.max_new_tokens=2560": "rl.max_new_tokens=2560",
    "rl.temperature=0": "rl.temperature=0",
    "generation.max_new_tokens=4000": "generation.max_new_tokens=4000",
    "generation.temperature=-1": "generation.temperature=-1",
    "prompt.history=-1": "prompt.history=-1",
    "model=qwen3_0_6b model.path=null": "neither model.path nor model.tiny",
    "model.dtype=float99": "model.dtype=float99",
    "+dataset.params.usres=5": "takes seed, users, items, ratings_per_user",
    "dataset.params.users=many": "dataset.params.users=many should be of type int",
    "dataset.params.items=x": "dataset.params.items=x should be of type int",
    "dataset.params.users=true": "dataset.params.users=True",
    "+teacher.params.tone=kind": "teacher.params.tone.*takes masked, progressive",
    "+reward.parts.step.params.hihg=3": "reward.parts.step.params.hihg",
    "reward.parts.step.params.low=20": (
        r"reward\.parts\.step\.params: step reward needs .* got low=20, high=12"
    ),
    "~reward.parts.step.params.high": r"reward\.parts\.step\.params: .*'high'",
    "diagnostic=calibration diagnostic.users=0": "diagnostic.users=0",
    "hardware.port=-1": "hardware.port=-1",
    "hardware.port=65536": "hardware.port=65536",
    "baseline=random baseline._target_=r2rec.nope.score": (
        "baseline._target_=r2rec.nope.score cannot be imported"
    ),
    "teacher._target_=write": "teacher._target_=write",
    "generation._target_=r2rec.llm.hf.nope": "generation._target_",
    "generation.by=guess": "generation.by=guess",
    "generation.by=labels": "prompt=no_reasoning",
    "generation.by=labels prompt=no_reasoning generation.constrained=true": (
        "no answer to be constrained"
    ),
    "generation.top_p=1.5": "generation.top_p=1.5",
    "generation=vllm hardware=ddp": "hardware.processes above 1 use hf",
    "+generation.params.quantization=fp8": "generation.params.quantization: generation=hf takes no",
    "generation=openai": r"no adapter trained here: add evaluation.arms=\[base\]",
    "generation=openai evaluation.arms=[base] generation.constrained=true": (
        "can't name each label once"
    ),
    "generation=openai evaluation.arms=[base] generation.by=labels": "no probabilities of labels",
    "generation=openai evaluation.arms=[base] generation.endpoint.ceiling=0": (
        "generation.endpoint.ceiling=0"
    ),
    "teacher=openai teacher.generation.endpoint.retries=-1": (
        "teacher.generation.endpoint.retries=-1"
    ),
    "teacher=local teacher.generation.max_new_tokens=4000": (
        "teacher.generation.max_new_tokens=4000"
    ),
    "teacher=local teacher.generation.constrained=true": "a teacher writes freely",
    "teacher=local teacher.attempts=0": "teacher.attempts=0",
    "teacher=local +teacher.params.kind=true": "takes masked, progressive, guided",
    "model=deepseek_r1_distill_llama_8b": (
        "model=deepseek_r1_distill_llama_8b has 8 billion weights, which hardware.device=cpu .*"
        "add hardware=gpu"
    ),
    "model.path=me/Mine-13B-chat": "model=tiny has 13 billion weights, which hardware.device=cpu",
    "teacher=local model@teacher.model=qwen3_4b": "teacher.model=qwen3_4b has 4 billion weights",
    "hardware=gpu model.path=me/mine-70b": (
        "has 70 billion weights, 280 GB as model.dtype=float32: set model.dtype=bfloat16"
    ),
    "hardware=gpu model=qwen3_4b": (
        "generation.max_new_tokens=768 would cut the thoughts of model=qwen3_4b: give 1024 or more"
    ),
    "model=qwen3_0_6b generation.max_new_tokens=1024": (
        "rl.max_new_tokens=640 would cut the thoughts of model=qwen3_0_6b"
    ),
    "+experiment=paper teacher.generation.max_new_tokens=512": (
        "teacher.generation.max_new_tokens=512 would cut the thoughts of model=deepseek"
    ),
    "+experiment=paper hardware=cpu": "has 8 billion weights",
    "model=llama_8b_random hardware.device=auto generation=vllm": (
        "model=llama_8b_random has random weights, which vLLM cannot be given"
    ),
    "prompt=llm prompt.compact=true": "prompt.compact shortens what prompt.prose spells out",
    "teacher=local teacher.params.masked=perhaps": (
        "teacher.params.masked=perhaps should be of type bool"
    ),
}

ALLOWED = [
    "rl=off reward=none",
    "rl=off rl.group_size=1",
    "sft=off sft.task=mix chain_sampler=none",
    "evaluation.negatives=25",
    "dataset.params.items=20",
    "generation.temperature=0",
    "prompt.history=0",
    "baseline=random evaluation.arms=[]",
    "hardware=ddp probe=slice",
    "hardware=fsdp sft=off rl=off probe=slice",
    "hardware=fsdp hardware.processes=4 rl.group_size=4 rl.prompts_per_step=4",
    "hardware=fsdp hardware.processes=4 rl.group_size=4 rl.prompts_per_step=2 "
    "rl.micro_batch_size=2",
    "hardware=ddp rl.group_size=4 rl.prompts_per_step=3 rl.micro_batch_size=3",
    "force=[diagnose,fuse]",
    "until=diagnose",
    "hardware.threads=null",
    "prompt.title_length=4",
    "noise=cold noise.params.kept=0",
    "dataset=amazon dataset.category=Books",
    "dataset=ml_1m dataset.root=/x",
    "baseline=sasrec baseline.params.dim=66 baseline.params.heads=3",
    "model.lora.dropout=0",
    "model.path=me/Mine-1.5B-chat",
    "model.path=me/mine-v2b",  # a version, and no size
    "model.path=me/Mine-13B hardware.device=auto model.dtype=bfloat16",
    "model.path=me/Mine-13B baseline=sasrec",
    "model=qwen3_0_6b prompt=no_reasoning",
    "+experiment=paper model=qwen3_0_6b dataset=toy",
    "+experiment=paper model=smollm2 dataset=toy hardware=cpu",
    "prompt=llm model=smollm2",
]
