// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title PDFed: one federated-learning task
/// @notice The meeting point of a federation that trains one image diffusion model: registry, submissions, votes, rewards,
/// event log. It holds ETH and a log; it has no owner, no upgrade and no token.
///
/// Two planes, never mixed. The record plane: every submission and every score is an event that stays readable; clients
/// decide whom to believe; no record moves money. The payment plane: only the weighted lower median of paired scores decides
/// who is paid. The event log and `terms()` alone rebuild the whole state.
///
/// Warning: payments assume that no one holds more than half of the stake: silence counts as a no, so that a payment takes more
/// than half of the eligible weight, and whoever holds that can take the pool. docs/threat-model.md lists this and all other
/// assumptions. The record plane does not need an honest majority.
///
/// No one is slashed, or paid less, for disagreeing. The only fault that costs money is a commit that is never revealed.
///
/// Units: money is in wei, times are Unix seconds, scores are Q-N in micro-units (Q-N × 1e6, lower is better), gains,
/// levels and the frontier are in steps of 1/64 halving of Q-N, weight is in 1/100 of `minStake`, and shares are in basis
/// points (1/10000) or parts per million where they say so. A digest is the sha2-256 of a bundle's dag-pb CIDv1.
///
/// The functions below that take no value can be batched with `multicall(bytes[])`.
/// @custom:security-contact see SECURITY.md
interface IPDFed {
    // ------------------------------------------------------------------------------------------------------- types

    /// @notice Role of a node: trainers submit and vote, validators only vote.
    enum Role {
        None,
        Trainer,
        Validator
    }

    /// @notice Phase of a model; it never goes back.
    /// Voting: scores are committed. Revealing: they are revealed. Due: it can be settled, in order of id. Scored: its
    /// quorum was met. Unscored: it was not; such a model can be a parent, never a champion.
    enum Phase {
        None,
        Voting,
        Revealing,
        Due,
        Scored,
        Unscored
    }

    /// @notice State of a voter's one ballot on a model. Late ballots are recorded, never paid, never weighted.
    enum BallotState {
        None,
        Committed,
        Revealed,
        Forfeited,
        Late
    }

    /// @notice The task's terms, fixed at construction.
    struct Terms {
        /// sha2-256 digest of the genesis bundle (task, scoring models, initial weights); not 0
        bytes32 genesis;
        /// wei, at least 1e15: the least stake to register with; 100 units of weight
        uint96 minStake;
        /// wei, paid by an author with every submission, earned by the voters
        uint96 submissionFee;
        /// wei, at most `minStake`: lost from stake for every commit that is not revealed
        uint96 commitBond;
        /// basis points of the eligible weight that must be revealed for a model to be Scored; 1..10000
        uint16 quorum;
        /// basis points of the pool that a halving of Q-N releases; 1..9999
        uint16 release;
        /// steps of 1/64 halving below which nothing is paid and the champion stays; 1..63
        uint8 minGain;
        /// expected number of voters per model, fewer while the weight is below `electorate`; 0: everyone votes. Needs a
        /// chain whose `prevrandao` is random, and a commit window of more than 60 seconds
        uint16 jury;
        /// basis points of a payout that the earlier champions share; 0..5000
        uint16 royalty;
        /// seconds from a submission in which scores can be committed; at least 1
        uint32 commitWindow;
        /// seconds after the commit window in which scores can be revealed; at least 1, and commitWindow / 4 rounded down
        uint32 revealWindow;
        /// seconds from `requestExit` to `claimStake`; at least commitWindow + revealWindow
        uint32 unbonding;
        /// seconds without an advance of the frontier after which the pool may return to the sponsor; 0: never, else at
        /// least enrolment + commitWindow + revealWindow
        uint32 sunset;
        /// address that the pool may return to; not 0 if `sunset` is not 0
        address sponsor;
        /// weight: the least that a model's eligible weight counts as, so that few nodes can't decide for all; at most
        /// 2^31 - 1
        uint32 electorate;
        /// seconds from the deployment in which nodes join and nobody submits
        uint32 enrolment;
        /// seconds in which 64 steps are paid at most; 0: no limit, else at least 64
        uint32 pace;
    }

    /// @notice A paired vote: both models measured on the same private data with the same noise, so that a voter's bias
    /// cancels in the ratio.
    struct Score {
        /// micro-units: Q-N of the model; > 0
        uint64 qn;
        /// micro-units: Q-N of the model's baseline; > 0
        uint64 baselineQn;
        /// parts per million of the generated samples confirmed as copies of the voter's data; 0..1e6. Recorded only: no
        /// money depends on it
        uint32 memorized;
    }

    /// @notice A registered node; all zero if unknown.
    struct Node {
        Role role;
        /// wei
        uint128 stake;
        /// Unix seconds of the last registration, top-up or return from retirement: the node votes on models born strictly
        /// later
        uint40 joinedAt;
        /// Unix seconds from which the stake can be claimed; 0: active
        uint40 exitAt;
        /// commits neither revealed nor forfeited
        uint32 openCommits;
        /// it left because it was silent, and `cancelExit` brings it back
        bool retired;
    }

    /// @notice A submitted model, or the genesis (id 0).
    struct Model {
        /// account that submitted the model; 0 for the genesis
        address author;
        /// digest of its bundle
        bytes32 bundle;
        /// its first parent (all of them are in `ModelSubmitted`)
        uint32 parent;
        /// the champion when it was submitted, against which it is scored
        uint32 baseline;
        /// Unix seconds; the genesis: of the deployment
        uint40 submittedAt;
        /// Unix seconds: end of the commit window, or when reveals opened early
        uint40 revealsOpenAt;
        /// weight of all active nodes but the author's when it was submitted, at least `electorate`
        uint64 eligibleWeight;
        /// weight of all ballots
        uint64 committedWeight;
        /// weight of the revealed ballots
        uint64 revealedWeight;
        /// steps, -64..63: against the baseline; 0 until Scored
        int16 gain;
        /// steps: its baseline's level + gain; 0 until Scored
        int32 level;
        /// steps, 0..63: by which it moved the frontier; more than 0 for champions only. Its share of later royalties
        uint8 advance;
        /// wei released from the pool by it, the royalties of earlier champions included
        uint128 payout;
        Phase phase;
    }

    /// @notice A voter's ballot on a model; all zero if there is none.
    struct Ballot {
        bytes32 commitment;
        /// weight in the median; 0 if late
        uint64 weight;
        BallotState state;
    }

    /// @notice Split of the contract's balance by owner, in wei: the five sum up to the balance, exactly (apart from ETH
    /// forced in by a selfdestruct).
    struct Ledger {
        uint256 stakes;
        uint256 pool;
        uint256 credits;
        uint256 lockedFees;
        uint256 lockedRoyalties;
    }

    // ------------------------------------------------------------------------------------------------------ events

    /// @notice A node joined.
    /// @param stake wei.
    event NodeRegistered(address indexed account, Role role, uint256 stake);
    /// @notice A node's stake grew, which counts as joining again.
    /// @param amount wei added.
    /// @param stake wei in all.
    event StakeAdded(address indexed account, uint256 amount, uint256 stake);
    /// @notice A node's weight left the active set.
    /// @param exitAt Unix seconds from which its stake can be claimed.
    event ExitRequested(address indexed account, uint40 exitAt);
    /// @notice The weight of a retired node joined the active set again.
    event ExitCancelled(address indexed account);
    /// @notice A node's stake became credit, and the node was deleted.
    /// @param amount wei.
    event StakeClaimed(address indexed account, uint256 amount);
    /// @notice A silent node left the active set. It may return.
    /// @param exitAt Unix seconds from which its stake can be claimed.
    event NodeRetired(address indexed account, uint40 exitAt);
    /// @notice A node reported that it is active.
    event KeptAlive(address indexed account);

    /// @notice A model was submitted.
    /// @param parents ids it was trained from.
    /// @param baseline id it is scored against.
    /// @param eligibleWeight weight of all active nodes but the author's, at least `electorate`.
    event ModelSubmitted(
        uint32 indexed id,
        address indexed author,
        bytes32 indexed bundle,
        uint32[] parents,
        uint32 baseline,
        uint64 eligibleWeight
    );
    /// @notice A hidden score was committed.
    /// @param sealedScore the score, encrypted with a pad that only its voter can derive.
    /// @param weight of the ballot.
    event VoteCommitted(
        uint32 indexed id, address indexed voter, bytes32 commitment, bytes32 sealedScore, uint64 weight
    );
    /// @notice A model's jury was drawn.
    /// @param seed `prevrandao` of this block.
    event JuryDrawn(uint32 indexed id, bytes32 seed);
    /// @notice All eligible weight committed: reveals opened before the end of the commit window. Never with a jury.
    event RevealOpened(uint32 indexed id);
    /// @notice A committed score was revealed.
    /// @param weight of the ballot.
    event VoteRevealed(uint32 indexed id, address indexed voter, Score score, uint64 weight);
    /// @notice A score was recorded after the commit phase: never paid, never weighted.
    event LateVoteCast(uint32 indexed id, address indexed voter, Score score);
    /// @notice A commit was never revealed.
    /// @param amount wei that went from the voter's stake to the pool.
    event CommitForfeited(uint32 indexed id, address indexed voter, uint256 amount);
    /// @notice A model was settled.
    /// @param scored whether its quorum was met; else the figures are 0.
    /// @param gain steps against its baseline.
    /// @param level steps against the genesis.
    /// @param payout wei released from the pool.
    /// @param paid steps of its advance that the pace allowed to pay.
    event ModelSettled(uint32 indexed id, bool scored, int16 gain, int32 level, uint256 payout, uint8 paid);
    /// @notice A model became champion.
    /// @param frontier steps: its level.
    event ChampionChanged(uint32 indexed id, int32 frontier);
    /// @notice A new champion's author was credited.
    /// @param amount wei.
    event Rewarded(uint32 indexed id, address indexed author, uint256 amount);
    /// @notice Part of a payout was locked for the earlier champions.
    /// @param id the new champion.
    /// @param amount wei.
    event RoyaltiesShared(uint32 indexed id, uint256 amount);
    /// @notice A champion's accrued royalties were credited to its author.
    /// @param amount wei.
    event RoyaltiesClaimed(uint32 indexed id, address indexed author, uint256 amount);
    /// @notice A voter's share of a model's fee was credited.
    /// @param amount wei.
    event FeeClaimed(uint32 indexed id, address indexed voter, uint256 amount);
    /// @notice Somebody added to the pool.
    /// @param amount wei.
    event Funded(address indexed from, uint256 amount);
    /// @notice The pool of an abandoned task was credited to its sponsor.
    /// @param amount wei.
    event PoolReclaimed(address indexed sponsor, uint256 amount);
    /// @notice Another address may withdraw an account's credit.
    event PayeeChanged(address indexed account, address indexed payee);
    /// @notice An account's whole credit was paid.
    /// @param amount wei.
    event Withdrawn(address indexed account, address indexed to, uint256 amount);

    // ------------------------------------------------------------------------------------------------------ errors

    /// @notice A term is out of bounds.
    /// @param field its name in `Terms`.
    error InvalidTerms(string field);
    /// @notice A call that must bring ETH brought none.
    error NothingSent();
    /// @notice The contract's balance would be too large.
    /// @param balance wei with this call.
    /// @param limit wei.
    error BalanceLimit(uint256 balance, uint256 limit);

    /// @notice The stake sent is too low to register.
    /// @param sent wei.
    /// @param required wei.
    error StakeTooLow(uint256 sent, uint256 required);
    /// @notice The role is neither Trainer nor Validator.
    error InvalidRole();
    error AlreadyRegistered(address account);
    error NotRegistered(address account);
    /// @notice The node is leaving.
    /// @param exitAt Unix seconds from which its stake can be claimed.
    error NodeExiting(address account, uint256 exitAt);
    /// @notice Only a retired node returns; an exit is final.
    error NotRetired(address account);
    /// @notice The active weight would not fit.
    /// @param weight with this call.
    /// @param limit the most.
    error WeightFull(uint256 weight, uint256 limit);
    /// @notice The stake can't be claimed yet.
    /// @param until Unix seconds; 0: no exit was requested.
    error StakeLocked(address account, uint256 until);
    /// @notice Commits must be revealed or forfeited first.
    /// @param count how many.
    error CommitsOpen(address account, uint256 count);
    /// @notice The node was not silent for long enough. All in Unix seconds.
    /// @param activeAt its last activity.
    /// @param heardSince time since which 8 models were heard, which must be later; the deployment's if fewer were.
    /// @param quietUntil the earliest time at which it can be retired.
    error StillActive(address account, uint256 activeAt, uint256 heardSince, uint256 quietUntil);

    /// @notice Nobody submits before the enrolment is over.
    /// @param from Unix seconds.
    error NotOpen(uint256 from);
    error NotTrainer(address account);
    /// @notice The value sent is not exactly the submission fee.
    /// @param sent wei.
    /// @param required wei.
    error WrongFee(uint256 sent, uint256 required);
    /// @notice The number of parents is not 1 to 8.
    error InvalidParentCount(uint256 count, uint256 limit);
    error DuplicateParent(uint32 id);
    error UnknownModel(uint32 id);
    error AlreadySubmitted(address author, bytes32 bundle);

    /// @notice The call does not belong to the model's phase.
    error WrongPhase(uint32 id, Phase phase);
    /// @notice The id names another model than the caller means (a reorg may have re-used it).
    error BundleMismatch(uint32 id, bytes32 expected, bytes32 given);
    /// @notice The id names a model with another baseline than the vote was measured against (after a reorg).
    error BaselineMismatch(uint32 id, uint32 expected, uint32 given);
    error OwnModel(uint32 id);
    /// @notice The node joined too late to vote on the model: it must join strictly before the submission. Both in Unix
    /// seconds.
    error JoinedTooLate(uint32 id, uint256 joinedAt, uint256 submittedAt);
    error AlreadyVoted(uint32 id, address voter, BallotState state);
    error NoWeight(address account);
    /// @notice The stake does not cover the bonds of all open commits and this one. Both in wei.
    error BondNotCovered(uint256 stake, uint256 required);
    /// @notice The jury can't be drawn yet.
    /// @param from Unix seconds; 0: the task has no jury.
    error JuryNotDrawn(uint32 id, uint256 from);
    error NotOnJury(uint32 id, address voter);
    /// @notice The model's committed weight would not fit.
    /// @param weight with this call.
    /// @param limit the most.
    error WeightLimit(uint256 weight, uint256 limit);
    error NoOpenBallot(uint32 id, address voter, BallotState state);
    /// @notice `qn` or `baselineQn` is 0, or `memorized` is above 1e6.
    error InvalidScore(uint64 qn, uint64 baselineQn, uint32 memorized);
    error CommitmentMismatch(bytes32 expected, bytes32 given);

    /// @notice The model is not the next to settle: models are settled in order of id.
    /// @param next id of the next one.
    error NotNextToSettle(uint32 id, uint32 next);
    error NotRevealed(uint32 id, address voter, BallotState state);
    error FeeAlreadyClaimed(uint32 id, address voter);
    error NotChampion(uint32 id);
    /// @notice The pool can't return yet.
    /// @param until Unix seconds; 0: never.
    error SunsetNotReached(uint256 until);
    /// @notice Some models are not settled.
    /// @param next the first of them.
    /// @param count submissions in all.
    error ModelsUnsettled(uint32 next, uint32 count);
    error NothingToReclaim();
    error NothingToWithdraw(address account);
    error InvalidRecipient(address to);
    /// @notice The caller does not act for the account.
    /// @param payee the account's payee in force.
    error NotPayee(address account, address payee);
    /// @notice The recipient refused the payment.
    /// @param amount wei, still the account's credit.
    error WithdrawFailed(address to, uint256 amount);

    // ------------------------------------------------------------------------------------------------------- nodes

    /// @notice Joins with the sent value as stake. The node votes with weight on models born strictly later.
    /// @param role Trainer or Validator.
    function register(Role role) external payable;

    /// @notice Adds the sent value to the caller's stake. Counts as joining again.
    function topUp() external payable;

    /// @notice Takes a node's weight out of the active set, for good; its stake can be claimed after `unbonding` seconds.
    /// Commits can and should still be revealed.
    /// @param account the node; the caller is the account or its payee, so that a lost voting key costs no stake.
    function requestExit(address account) external;

    /// @notice Brings the caller's retired node back. Counts as joining again.
    function cancelExit() external;

    /// @notice Turns the stake of a node whose exit is due into credit of its account and deletes the node. It may register
    /// anew. Anyone can `forfeit` the unrevealed commits that block it.
    /// @param account the node; the caller is the account or its payee.
    function claimStake(address account) external;

    /// @notice Counts as activity of the caller, and does nothing else.
    function keepAlive() external;

    /// @notice Takes a silent node out of the active set, so that dead stake does not hold up the quorum for ever. A node is
    /// silent if it was inactive (no join, top-up, return, commit, submission, keepAlive) through 8 heard models and for
    /// `unbonding` seconds. A model is heard if at least half the quorum was revealed at its settlement, so models that nobody
    /// can score evict nobody. The node loses nothing: `cancelExit` brings it back, and its stake can be claimed as after an exit.
    /// @param account the silent node.
    function retire(address account) external;

    // ------------------------------------------------------------------------------------------------------ models

    /// @notice Submits a model, scored against the champion of this moment, once the enrolment is over. The value is the
    /// submission fee, exactly. Publish the content only after this is mined: until then there is nothing to copy.
    /// @param bundle digest of the signed bundle, once per author.
    /// @param parents 1..8 distinct ids it was trained from (0: genesis). They move no money.
    /// @return id of the model; ids are dense, from 1.
    function submit(bytes32 bundle, uint32[] calldata parents) external payable returns (uint32 id);

    /// @notice Draws a model's jury: while it is Voting, from 60 seconds after its submission, the first call fixes the seed
    /// to `prevrandao` of its block, which nobody knew at the submission. A later call changes nothing. Warning: until
    /// somebody draws, a contract can read `prevrandao` and draw only if it likes the jury; every node should draw at once.
    /// @param id the model.
    function drawJury(uint32 id) external;

    /// @notice Commits to a hidden score while a model is Voting. The ballot's weight is taken now. With a jury, a commit
    /// draws it, or waits until it can be drawn.
    /// @param id the model.
    /// @param bundle its bundle: after a reorg that re-used the id for another model this fails instead of voting on it.
    /// @param baseline its baseline: after a reorg that changed it this fails, and the bond is not lost.
    /// @param commitment as `voteCommitment` gives it.
    /// @param sealedScore the score, encrypted with a pad that only the voter can derive; emitted, not stored, so that a
    /// node that lost its disk can still reveal.
    function commitVote(uint32 id, bytes32 bundle, uint32 baseline, bytes32 commitment, bytes32 sealedScore) external;

    /// @notice Reveals a committed score while a model is Revealing. Anyone who knows the salt may call it, so that another
    /// machine can save the bond; it leaves the state that the voter's own call leaves.
    /// @param id the model.
    /// @param voter the committer.
    /// @param score the committed one.
    /// @param salt 32 secret bytes.
    function revealVote(uint32 id, address voter, Score calldata score, bytes32 salt) external;

    /// @notice Records a score for a model at any time after its commit phase: never paid, never weighted.
    /// @param id the model.
    /// @param bundle its bundle: after a reorg that re-used the id for another model this fails.
    /// @param score the score.
    function lateVote(uint32 id, bytes32 bundle, Score calldata score) external;

    /// @notice Settles the next model once it is Due. If its quorum was met, its gain is the weighted lower median over the
    /// eligible weight: of the revealed gains, where weight that did not reveal counts as a gain of -64. So a turnout of
    /// half or less that meets a low quorum gives -64. If the model advances the frontier by `minGain` or more, it becomes
    /// champion and the pool pays pool × (1 - (1 - release)^(paid/64)), where paid is the advance, or less if more than 64
    /// steps would be paid per `pace` seconds. What is not paid stays in the pool; frontier and royalties move in full.
    /// Payments telescope: splitting an improvement pays no more in total, and the pool never runs out. The part of the fee
    /// that no voter earns joins the pool afterwards.
    /// @param id must be `nextToSettle()`.
    function settle(uint32 id) external;

    /// @notice Forfeits a commit that was not revealed by the reveal deadline: its bond goes to the pool.
    /// @param id the model.
    /// @param voter the committer.
    function forfeit(uint32 id, address voter) external;

    // ------------------------------------------------------------------------------------------------------- money

    /// @notice Credits a voter with its shares of the fees of settled models whose votes were revealed: fee × weight /
    /// eligible weight each (or / revealed weight, where a drawn jury revealed more), rounded down, once, whatever the
    /// outcome. Anyone may call it.
    /// @param account the voter.
    /// @param ids the models; one bad id reverts all.
    function claimFees(address account, uint32[] calldata ids) external;

    /// @notice Credits the authors of champions with the royalties accrued since their last claim. Anyone may call it.
    /// @param ids the champions; one bad id reverts all.
    function claimRoyalties(uint32[] calldata ids) external;

    /// @notice Adds the sent value to the pool.
    function fund() external payable;

    /// @notice Credits the pool to the sponsor, `sunset` seconds after the deployment, the last advance or the last return,
    /// once the models born before that are settled; later ones hold nothing up. The task goes on if it is funded again.
    function reclaim() external;

    /// @notice Lets another address withdraw an account's credit, and stop its node, from now on. The payee in force calls
    /// it; at first that is the account. It needs no node, and outlasts one.
    /// @param account whose credit.
    /// @param newPayee not 0; the account itself to take it back.
    function setPayee(address account, address newPayee) external;

    /// @notice Pays an account's whole credit. Only its payee may call it. The only way money leaves.
    /// @param account whose credit.
    /// @param to the recipient; one that refuses the payment blocks only this call.
    function withdraw(address account, address to) external;

    // ------------------------------------------------------------------------------------------------------- views

    /// @return the task's terms.
    function terms() external view returns (Terms memory);

    /// @return the node of an account; zeros if it is not registered.
    function node(address account) external view returns (Node memory);

    /// @return a model; reverts `UnknownModel`.
    function model(uint32 id) external view returns (Model memory);

    /// @return a voter's ballot on a model; zeros if there is none.
    function ballot(uint32 id, address voter) external view returns (Ballot memory);

    /// @return revealed weight by bucket clamp(floor(64 · log2(baselineQn / qn)) + 64, 0, 127).
    function histogram(uint32 id) external view returns (uint32[128] memory);

    /// @return number of submissions, which is also the newest id; the genesis (0) is not counted.
    function modelCount() external view returns (uint32);

    /// @return id of the best model so far.
    function champion() external view returns (uint32);

    /// @return steps: the champion's level.
    function frontier() external view returns (int32);

    /// @return wei in the pool, which pays future advances.
    function pool() external view returns (uint256);

    /// @return wei that an account can withdraw.
    function credit(address account) external view returns (uint256);

    /// @return who may withdraw an account's credit: the account itself until `setPayee`.
    function payee(address account) external view returns (address);

    /// @return weight of all registered nodes that are not leaving.
    function activeWeight() external view returns (uint64);

    /// @return Unix seconds: end of the enrolment, from which models can be submitted.
    function opensAt() external view returns (uint40);

    /// @return steps, 0..64, that an advance settled now would be paid for at most; 64 without a `pace`.
    function payableSteps() external view returns (uint8);

    /// @return phase of a model now; reverts `UnknownModel`.
    function phase(uint32 id) external view returns (Phase);

    /// @return the id that `settle` takes next; one more than `modelCount` when all are settled.
    function nextToSettle() external view returns (uint32);

    /// @return the split of the balance by owner.
    function ledger() external view returns (Ledger memory);

    /// @notice The commitment that `revealVote` compares with, bound to this chain, contract, model and voter:
    /// keccak256(abi.encode(chainid, contract, id, baseline, voter, qn, baselineQn, memorized, salt)). Warning: this call
    /// shows the score to the Ethereum node that answers it; clients compute the commitment themselves.
    /// @return the commitment; 0 for an unknown model.
    function voteCommitment(uint32 id, address voter, Score calldata score, bytes32 salt) external view returns (bytes32);
}
