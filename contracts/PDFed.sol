// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Multicall} from "@openzeppelin/contracts/utils/Multicall.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {FixedPointMathLib} from "solady/utils/FixedPointMathLib.sol";
import {SafeTransferLib} from "solady/utils/SafeTransferLib.sol";
import {IPDFed} from "./IPDFed.sol";

/// @title PDFed
/// @notice See `IPDFed` for purpose, assumption and units. This file documents the O(1) bookkeeping.
///
/// Median. The votes of a model are a histogram of 128 weights, eight to a slot: a reveal adds to one, settlement walks 16
/// slots. Weights are at most 31 bits (`_MAX_ACTIVE_WEIGHT`), a model's committed weight at most 32, so no bucket overflows.
///
/// Release. Advancing the frontier by a steps leaves pool · k^a, with k = (1 - release)^(1/64) fixed at construction. From
/// frontier f to g this is k^(g-f), in however many advances: payments telescope.
///
/// Royalties. Champions i with advance a_i make up the frontier F = Σ a_i. A royalty R is shared as R · a_i / F, so one
/// figure, R / F summed up over time (`royaltyPerStep`), serves all: a champion is owed a_i × (its growth since settlement
/// or the last claim).
///
/// Fees. A settled model keeps fee · revealed / divisor for its voters, floored; each takes fee · weight / divisor, floored,
/// so the shares never exceed what was kept.
///
/// Money. The balance is at most `_MAX_BALANCE` = 2^96 - 1 whenever value comes in, and every sum of money is part of the
/// balance: casts of money to uint96 can't overflow. pool + stakes + credits + lockedFees + lockedRoyalties == balance.
/// @custom:security-contact see SECURITY.md
contract PDFed is IPDFed, Multicall, ReentrancyGuardTransient {
    // --------------------------------------------------------------------------------------------------- constants

    uint256 private constant _BPS = 10_000;
    uint256 private constant _PPM = 1_000_000;
    uint256 private constant _MAX_PARENTS = 8;
    /// Heard models after a node's last activity before it can be retired.
    uint256 private constant _HEARD_TO_RETIRE = 16;
    uint256 private constant _WEIGHT_PER_MIN_STAKE = 100;
    uint256 private constant _MAX_ACTIVE_WEIGHT = type(uint32).max >> 1;
    uint256 private constant _MAX_COMMITTED_WEIGHT = type(uint32).max;
    uint256 private constant _MAX_BALANCE = type(uint96).max;
    /// Newest blocks whose hashes the EVM gives.
    uint256 private constant _BLOCK_HASHES_KEPT = 256;
    /// Fixed-point scale of `royaltyPerStep`.
    uint256 private constant _ROYALTY_SCALE = 1e18;
    /// Fixed-point one of the powers of (1 - release).
    uint256 private constant _UNIT = 1e36;
    /// Fixed-point bits of the bucket's thresholds.
    uint8 private constant _THRESHOLD_BITS = 190;
    /// A 1 in each of the eight 32-bit weights of a histogram's slot.
    uint256 private constant _ONES = type(uint256).max / type(uint32).max;

    // ------------------------------------------------------------------------------------------------------- terms

    bytes32 private immutable _genesis;
    uint256 private immutable _minStake;
    uint256 private immutable _submissionFee;
    uint256 private immutable _commitBond;
    uint256 private immutable _quorum;
    uint256 private immutable _release;
    uint256 private immutable _minGain;
    uint256 private immutable _jury;
    uint256 private immutable _royalty;
    uint256 private immutable _commitWindow;
    uint256 private immutable _revealWindow;
    uint256 private immutable _unbonding;
    uint256 private immutable _sunset;
    address private immutable _sponsor;
    /// (1 - release)^(1/64) in units of 1e-36: the part of the pool that a step leaves.
    uint256 private immutable _keepPerStep;

    // ----------------------------------------------------------------------------------------------------- storage

    /// One slot.
    struct NodeRecord {
        uint96 stake;
        uint40 joinedAt;
        /// Unix seconds: of the last activity while active, of the exit's due time while exiting.
        uint40 clock;
        uint32 openCommits;
        Role role;
        bool exiting;
    }

    /// One slot.
    struct Tally {
        uint40 submittedAt;
        /// Seconds from submission until reveals open.
        uint32 commitSpan;
        /// Number, modulo 2^32, of the block of its submission.
        uint32 bornBlock;
        uint32 committedWeight;
        uint32 revealedWeight;
        /// Ballots neither revealed nor forfeited.
        uint32 openBallots;
        int32 level;
        int8 gain;
        /// Steps by which it advanced the frontier; > 0 for champions only.
        uint8 advance;
        /// Scored or Unscored once settled, else None.
        Phase outcome;
    }

    /// Four slots, the last one written for champions only.
    struct ModelRecord {
        address author;
        uint32 parent;
        uint32 baseline;
        uint32 eligibleWeight;
        bytes32 bundle;
        Tally tally;
        uint96 payout;
        /// `royaltyPerStep` at its settlement or last claim.
        uint160 royaltyPerStep;
    }

    struct BallotRecord {
        bytes32 commitment;
        uint32 weight;
        BallotState state;
        bool feeClaimed;
    }

    /// One slot.
    struct Progress {
        uint32 modelCount;
        uint32 nextToSettle;
        uint32 champion;
        int32 frontier;
        /// Models settled with at least half the quorum revealed.
        uint32 heard;
        uint32 activeWeight;
    }

    Progress private _progress;

    uint96 private _pool;
    uint96 private _stakes;

    uint96 private _credits;
    uint96 private _lockedFees;
    /// Unix seconds of the last settlement, or of the deployment; beside the sums so that their slot is never empty.
    uint40 private _lastSettledAt;

    uint96 private _lockedRoyalties;
    /// Scaled by 1e18. Its 160 bits hold 2^5 settlements that each share half of a pool of 2^96 wei at frontier 1.
    uint160 private _royaltyPerStep;

    /// Unix seconds at which the last 16 heard models were settled, a ring: the next one replaces the oldest. A node is
    /// silent through 16 heard models if the oldest of them is younger than its last activity.
    uint40[_HEARD_TO_RETIRE] private _heardTimes;

    mapping(address account => NodeRecord) private _nodes;
    mapping(uint32 id => ModelRecord) private _models;
    mapping(uint32 id => mapping(address voter => BallotRecord)) private _ballots;
    mapping(uint32 id => uint256[16]) private _histograms;
    mapping(uint32 id => bytes32) private _jurySeeds;
    mapping(address author => mapping(bytes32 bundle => bool)) private _submitted;
    mapping(address account => uint256) private _creditOf;

    /// @param terms_ the task's terms, within the bounds that `Terms` states.
    constructor(Terms memory terms_) payable {
        _checkTerms(terms_);
        _genesis = terms_.genesis;
        _minStake = terms_.minStake;
        _submissionFee = terms_.submissionFee;
        _commitBond = terms_.commitBond;
        _quorum = terms_.quorum;
        _release = terms_.release;
        _minGain = terms_.minGain;
        _jury = terms_.jury;
        _royalty = terms_.royalty;
        _commitWindow = terms_.commitWindow;
        _revealWindow = terms_.revealWindow;
        _unbonding = terms_.unbonding;
        _sunset = terms_.sunset;
        _sponsor = terms_.sponsor;

        uint256 keep = (_BPS - terms_.release) * (_UNIT / _BPS);
        for (uint256 i = 0; i < 6; ++i) {
            keep = FixedPointMathLib.sqrt(keep * _UNIT);
        }
        _keepPerStep = keep;

        ModelRecord storage genesis = _models[0];
        genesis.bundle = terms_.genesis;
        genesis.tally.submittedAt = uint40(block.timestamp);
        genesis.tally.outcome = Phase.Scored;
        _progress.nextToSettle = 1;
        _lastSettledAt = uint40(block.timestamp);
        // As if 16 models were heard at the deployment, before anyone joined.
        for (uint256 i = 0; i < _HEARD_TO_RETIRE; ++i) {
            _heardTimes[i] = uint40(block.timestamp);
        }

        if (msg.value != 0) {
            _pool = _received();
            emit Funded(msg.sender, msg.value);
        }
    }

    // ------------------------------------------------------------------------------------------------------- nodes

    /// @inheritdoc IPDFed
    function register(Role role) external payable {
        if (role == Role.None) revert InvalidRole();
        if (_nodes[msg.sender].role != Role.None) revert AlreadyRegistered(msg.sender);
        if (msg.value < _minStake) revert StakeTooLow(msg.value, _minStake);
        uint96 stake = _received();

        _addWeight(_weight(stake));
        _nodes[msg.sender] =
            NodeRecord(stake, uint40(block.timestamp), uint40(block.timestamp), 0, role, false);
        _stakes += stake;
        emit NodeRegistered(msg.sender, role, stake);
    }

    /// @inheritdoc IPDFed
    function topUp() external payable {
        NodeRecord memory record = _activeNode(msg.sender);
        if (msg.value == 0) revert NothingSent();
        uint96 amount = _received();

        uint256 weight = _weight(record.stake);
        record.stake += amount;
        _addWeight(_weight(record.stake) - weight);
        record.joinedAt = uint40(block.timestamp);
        record.clock = uint40(block.timestamp);
        _nodes[msg.sender] = record;
        _stakes += amount;
        emit StakeAdded(msg.sender, amount, record.stake);
    }

    /// @inheritdoc IPDFed
    function requestExit() external {
        emit ExitRequested(msg.sender, _leave(msg.sender, _activeNode(msg.sender)));
    }

    /// @inheritdoc IPDFed
    function cancelExit() external {
        NodeRecord memory record = _registeredNode(msg.sender);
        if (!record.exiting) revert NotExiting(msg.sender);

        record.exiting = false;
        _addWeight(_weight(record.stake));
        record.joinedAt = uint40(block.timestamp);
        record.clock = uint40(block.timestamp);
        _nodes[msg.sender] = record;
        emit ExitCancelled(msg.sender);
    }

    /// @inheritdoc IPDFed
    function claimStake() external {
        NodeRecord memory record = _registeredNode(msg.sender);
        if (!record.exiting) revert StakeLocked(msg.sender, 0);
        if (block.timestamp < record.clock) revert StakeLocked(msg.sender, record.clock);
        if (record.openCommits != 0) revert CommitsOpen(msg.sender, record.openCommits);

        delete _nodes[msg.sender];
        _stakes -= record.stake;
        _addCredit(msg.sender, record.stake);
        emit StakeClaimed(msg.sender, record.stake);
    }

    /// @inheritdoc IPDFed
    function keepAlive() external {
        _activeNode(msg.sender);
        _nodes[msg.sender].clock = uint40(block.timestamp);
        emit KeptAlive(msg.sender);
    }

    /// @inheritdoc IPDFed
    function retire(address account) external {
        NodeRecord memory record = _activeNode(account);
        // The oldest time in the ring: since then, 16 models were heard.
        uint256 heardSince = _heardTimes[_progress.heard % _HEARD_TO_RETIRE];
        uint256 quietUntil = record.clock + _unbonding;
        if (heardSince <= record.clock || block.timestamp < quietUntil) {
            revert StillActive(account, record.clock, heardSince, quietUntil);
        }
        emit NodeRetired(account, _leave(account, record));
    }

    // ------------------------------------------------------------------------------------------------------ models

    /// @inheritdoc IPDFed
    function submit(bytes32 bundle, uint32[] calldata parents) external payable returns (uint32 id) {
        NodeRecord memory author = _activeNode(msg.sender);
        if (author.role != Role.Trainer) revert NotTrainer(msg.sender);
        if (msg.value != _submissionFee) revert WrongFee(msg.value, _submissionFee);
        if (_submitted[msg.sender][bundle]) revert AlreadySubmitted(msg.sender, bundle);
        Progress memory progress = _progress;
        _checkParents(parents, progress.modelCount);

        id = ++progress.modelCount;
        _progress.modelCount = id;
        _submitted[msg.sender][bundle] = true;
        _nodes[msg.sender].clock = uint40(block.timestamp);
        _lockedFees += _received();

        uint32 eligibleWeight = progress.activeWeight - uint32(_weight(author.stake));
        uint32 parent = parents[0];
        Tally memory tally;
        tally.submittedAt = uint40(block.timestamp);
        tally.commitSpan = uint32(_commitWindow);
        tally.bornBlock = uint32(block.number);
        ModelRecord storage record = _models[id];
        record.author = msg.sender;
        record.parent = parent;
        record.baseline = progress.champion;
        record.eligibleWeight = eligibleWeight;
        record.bundle = bundle;
        record.tally = tally;
        emit ModelSubmitted(id, msg.sender, bundle, parents, progress.champion, eligibleWeight);
    }

    /// @inheritdoc IPDFed
    function commitVote(uint32 id, bytes32 bundle, bytes32 commitment, bytes32 sealedScore) external {
        ModelRecord storage record = _models[id];
        Tally memory tally = _inPhase(id, record, Phase.Voting);
        if (record.bundle != bundle) revert BundleMismatch(id, record.bundle, bundle);
        NodeRecord memory voter = _activeNode(msg.sender);
        BallotRecord storage vote = _ownBallot(id, record.author);
        if (voter.joinedAt >= tally.submittedAt) revert JoinedTooLate(id, voter.joinedAt, tally.submittedAt);
        uint256 weight = _weight(voter.stake);
        if (weight == 0) revert NoWeight(msg.sender);
        uint256 bonds = _commitBond * (uint256(voter.openCommits) + 1);
        if (voter.stake < bonds) revert BondNotCovered(voter.stake, bonds);
        uint256 eligible = record.eligibleWeight;
        if (_jury != 0) weight = _jurorWeight(id, weight, eligible, tally.bornBlock);
        uint256 committed = tally.committedWeight + weight;
        if (committed > _MAX_COMMITTED_WEIGHT) revert WeightLimit(committed, _MAX_COMMITTED_WEIGHT);

        vote.commitment = commitment;
        vote.weight = uint32(weight);
        vote.state = BallotState.Committed;
        unchecked {
            // At most one per model, and one per unit of committed weight: both fit 32 bits.
            record.tally.openBallots = tally.openBallots + 1;
            record.tally.committedWeight = uint32(committed);
            NodeRecord storage account = _nodes[msg.sender];
            account.openCommits = voter.openCommits + 1;
            account.clock = uint40(block.timestamp);
        }
        emit VoteCommitted(id, msg.sender, commitment, sealedScore, uint64(weight));
        // A drawn jury's weight is random: reaching the eligible weight says nothing about who is still to come.
        if (_jury == 0 && committed == eligible) {
            record.tally.commitSpan = uint32(block.timestamp - tally.submittedAt);
            emit RevealOpened(id);
        }
    }

    /// @inheritdoc IPDFed
    function revealVote(uint32 id, Score calldata score, bytes32 salt) external {
        ModelRecord storage record = _models[id];
        Tally memory tally = _inPhase(id, record, Phase.Revealing);
        BallotRecord storage vote = _openBallot(id, msg.sender);
        _checkScore(score);
        bytes32 commitment = _commitment(id, msg.sender, score, salt);
        if (vote.commitment != commitment) revert CommitmentMismatch(vote.commitment, commitment);

        uint32 weight = vote.weight;
        uint256 bucket = _bucket(score.qn, score.baselineQn);
        vote.state = BallotState.Revealed;
        unchecked {
            // Undoes the commit's additions; the weights of a model together fit 32 bits.
            _nodes[msg.sender].openCommits -= 1;
            record.tally.openBallots = tally.openBallots - 1;
            record.tally.revealedWeight = tally.revealedWeight + weight;
            _histograms[id][bucket >> 3] += uint256(weight) << ((bucket & 7) << 5);
        }
        emit VoteRevealed(id, msg.sender, score, weight);
    }

    /// @inheritdoc IPDFed
    function lateVote(uint32 id, Score calldata score) external {
        Phase current = phase(id);
        if (id == 0 || current == Phase.Voting) revert WrongPhase(id, current);
        _activeNode(msg.sender);
        BallotRecord storage vote = _ownBallot(id, _models[id].author);
        _checkScore(score);

        vote.state = BallotState.Late;
        emit LateVoteCast(id, msg.sender, score);
    }

    /// @inheritdoc IPDFed
    function settle(uint32 id) external {
        ModelRecord storage record = _models[id];
        Tally memory tally = _inPhase(id, record, Phase.Due);
        Progress memory progress = _progress;
        if (id != progress.nextToSettle) revert NotNextToSettle(id, progress.nextToSettle);

        uint256 revealed = tally.revealedWeight;
        uint256 eligible = record.eligibleWeight;
        uint256 payout;
        tally.outcome = Phase.Unscored;
        if (revealed != 0 && revealed * _BPS >= _quorum * eligible) {
            tally.outcome = Phase.Scored;
            tally.gain = _medianGain(id, revealed);
            tally.level = _models[record.baseline].tally.level + tally.gain;
            int256 advance = int256(tally.level) - progress.frontier;
            // The baseline was champion once, so its level is at most the frontier, and the advance at most the gain.
            if (advance >= int256(_minGain)) {
                tally.advance = uint8(uint256(advance));
                payout = _payout(tally.advance);
            }
        }
        if (revealed != 0 && 2 * revealed * _BPS >= _quorum * eligible) {
            _heardTimes[progress.heard % _HEARD_TO_RETIRE] = uint40(block.timestamp);
            progress.heard += 1;
        }
        uint32 frontierBefore = uint32(progress.frontier);
        if (tally.advance != 0) {
            progress.champion = id;
            progress.frontier = tally.level;
        }
        progress.nextToSettle = id + 1;
        _progress = progress;
        record.tally = tally;

        uint96 kept = uint96(_feeShare(revealed, eligible, revealed));
        uint96 rest = uint96(_submissionFee) - kept;
        _pool = _pool - uint96(payout) + rest;
        _lockedFees -= rest;
        _lastSettledAt = uint40(block.timestamp);
        emit ModelSettled(id, tally.outcome == Phase.Scored, tally.gain, tally.level, payout);
        if (tally.advance != 0) {
            emit ChampionChanged(id, tally.level);
            record.payout = uint96(payout);
            _reward(id, record, payout, frontierBefore);
        }
    }

    /// @inheritdoc IPDFed
    function forfeit(uint32 id, address voter) external {
        BallotRecord storage vote = _openBallot(id, voter);
        Tally memory tally = _models[id].tally;
        Phase current = _phase(tally);
        // An open ballot keeps its model Revealing until the deadline, so any later phase means that it has passed.
        if (current == Phase.Voting || current == Phase.Revealing) revert WrongPhase(id, current);

        vote.state = BallotState.Forfeited;
        _models[id].tally.openBallots = tally.openBallots - 1;
        NodeRecord memory record = _nodes[voter];
        uint96 amount = uint96(FixedPointMathLib.min(_commitBond, record.stake));
        uint256 weight = _weight(record.stake);
        record.stake -= amount;
        record.openCommits -= 1;
        if (!record.exiting) _progress.activeWeight -= uint32(weight - _weight(record.stake));
        _nodes[voter] = record;
        _stakes -= amount;
        _pool += amount;
        emit CommitForfeited(id, voter, amount);
    }

    // ------------------------------------------------------------------------------------------------------- money

    /// @inheritdoc IPDFed
    function claimFees(uint32[] calldata ids) external {
        uint256 total;
        for (uint256 i = 0; i < ids.length; ++i) {
            uint32 id = ids[i];
            Phase current = phase(id);
            if (current < Phase.Scored) revert WrongPhase(id, current);
            BallotRecord storage vote = _ballots[id][msg.sender];
            if (vote.state != BallotState.Revealed) revert NotRevealed(id, msg.sender, vote.state);
            if (vote.feeClaimed) revert FeeAlreadyClaimed(id, msg.sender);

            vote.feeClaimed = true;
            ModelRecord storage record = _models[id];
            uint256 amount = _feeShare(vote.weight, record.eligibleWeight, record.tally.revealedWeight);
            total += amount;
            emit FeeClaimed(id, msg.sender, amount);
        }
        _lockedFees -= uint96(total);
        _addCredit(msg.sender, total);
    }

    /// @inheritdoc IPDFed
    function claimRoyalties(uint32[] calldata ids) external {
        uint160 royaltyPerStep = _royaltyPerStep;
        for (uint256 i = 0; i < ids.length; ++i) {
            uint32 id = ids[i];
            ModelRecord storage record = _models[id];
            uint256 advance = record.tally.advance;
            if (advance == 0) revert NotChampion(id);

            uint256 amount = FixedPointMathLib.fullMulDiv(advance, royaltyPerStep - record.royaltyPerStep, _ROYALTY_SCALE);
            record.royaltyPerStep = royaltyPerStep;
            _lockedRoyalties -= uint96(amount);
            _addCredit(record.author, amount);
            emit RoyaltiesClaimed(id, record.author, amount);
        }
    }

    /// @inheritdoc IPDFed
    function fund() external payable {
        if (msg.value == 0) revert NothingSent();
        _pool += _received();
        emit Funded(msg.sender, msg.value);
    }

    /// @inheritdoc IPDFed
    function reclaim() external {
        if (_sunset == 0) revert SunsetNotReached(0);
        Progress memory progress = _progress;
        uint256 until = _lastSettledAt + _sunset;
        if (block.timestamp < until) revert SunsetNotReached(until);
        if (progress.nextToSettle <= progress.modelCount) {
            revert ModelsUnsettled(progress.nextToSettle, progress.modelCount);
        }
        uint256 amount = _pool;
        if (amount == 0) revert NothingToReclaim();

        _pool = 0;
        _addCredit(_sponsor, amount);
        emit PoolReclaimed(_sponsor, amount);
    }

    /// @inheritdoc IPDFed
    function withdraw(address to) external nonReentrant {
        if (to == address(0)) revert InvalidRecipient(to);
        uint256 amount = _creditOf[msg.sender];
        if (amount == 0) revert NothingToWithdraw(msg.sender);

        delete _creditOf[msg.sender];
        _credits -= uint96(amount);
        emit Withdrawn(msg.sender, to, amount);
        // Returned data is never read: a hostile recipient can't make it costly.
        if (!SafeTransferLib.trySafeTransferETH(to, amount, gasleft())) revert WithdrawFailed(to, amount);
    }

    // ------------------------------------------------------------------------------------------------------- views

    /// @inheritdoc IPDFed
    function terms() external view returns (Terms memory) {
        return Terms({
            genesis: _genesis,
            minStake: uint96(_minStake),
            submissionFee: uint96(_submissionFee),
            commitBond: uint96(_commitBond),
            quorum: uint16(_quorum),
            release: uint16(_release),
            minGain: uint8(_minGain),
            jury: uint16(_jury),
            royalty: uint16(_royalty),
            commitWindow: uint32(_commitWindow),
            revealWindow: uint32(_revealWindow),
            unbonding: uint32(_unbonding),
            sunset: uint32(_sunset),
            sponsor: _sponsor
        });
    }

    /// @inheritdoc IPDFed
    function node(address account) external view returns (Node memory) {
        NodeRecord memory record = _nodes[account];
        return Node(record.role, record.stake, record.joinedAt, record.exiting ? record.clock : 0, record.openCommits);
    }

    /// @inheritdoc IPDFed
    function model(uint32 id) external view returns (Model memory) {
        Phase current = phase(id);
        ModelRecord memory record = _models[id];
        return Model({
            author: record.author,
            bundle: record.bundle,
            parent: record.parent,
            baseline: record.baseline,
            submittedAt: record.tally.submittedAt,
            revealsOpenAt: record.tally.submittedAt + record.tally.commitSpan,
            eligibleWeight: record.eligibleWeight,
            committedWeight: record.tally.committedWeight,
            revealedWeight: record.tally.revealedWeight,
            gain: record.tally.gain,
            level: record.tally.level,
            payout: record.payout,
            phase: current
        });
    }

    /// @inheritdoc IPDFed
    function ballot(uint32 id, address voter) external view returns (Ballot memory) {
        BallotRecord memory vote = _ballots[id][voter];
        return Ballot(vote.commitment, vote.weight, vote.state);
    }

    /// @inheritdoc IPDFed
    function histogram(uint32 id) external view returns (uint32[128] memory weights) {
        uint256[16] storage slots = _histograms[id];
        for (uint256 bucket = 0; bucket < 128; ++bucket) {
            weights[bucket] = uint32(slots[bucket >> 3] >> ((bucket & 7) << 5));
        }
    }

    /// @inheritdoc IPDFed
    function modelCount() external view returns (uint32) {
        return _progress.modelCount;
    }

    /// @inheritdoc IPDFed
    function champion() external view returns (uint32) {
        return _progress.champion;
    }

    /// @inheritdoc IPDFed
    function frontier() external view returns (int32) {
        return _progress.frontier;
    }

    /// @inheritdoc IPDFed
    function pool() external view returns (uint256) {
        return _pool;
    }

    /// @inheritdoc IPDFed
    function credit(address account) external view returns (uint256) {
        return _creditOf[account];
    }

    /// @inheritdoc IPDFed
    function activeWeight() external view returns (uint64) {
        return _progress.activeWeight;
    }

    /// @inheritdoc IPDFed
    function phase(uint32 id) public view returns (Phase) {
        Tally memory tally = _models[id].tally;
        if (tally.submittedAt == 0) revert UnknownModel(id);
        return _phase(tally);
    }

    /// @inheritdoc IPDFed
    function nextToSettle() external view returns (uint32) {
        return _progress.nextToSettle;
    }

    /// @inheritdoc IPDFed
    function ledger() external view returns (Ledger memory) {
        return Ledger(_stakes, _pool, _credits, _lockedFees, _lockedRoyalties);
    }

    /// @inheritdoc IPDFed
    function voteCommitment(uint32 id, address voter, Score calldata score, bytes32 salt) external view returns (bytes32) {
        return id > _progress.modelCount ? bytes32(0) : _commitment(id, voter, score, salt);
    }

    // ------------------------------------------------------------------------------------------------------ checks

    function _checkTerms(Terms memory t) private pure {
        uint256 windows = uint256(t.commitWindow) + t.revealWindow;
        if (t.genesis == 0) revert InvalidTerms("genesis");
        if (t.minStake < 1e15) revert InvalidTerms("minStake");
        if (t.commitBond > t.minStake) revert InvalidTerms("commitBond");
        if (t.quorum == 0 || t.quorum > _BPS) revert InvalidTerms("quorum");
        if (t.release == 0 || t.release >= _BPS) revert InvalidTerms("release");
        if (t.minGain == 0 || t.minGain > 63) revert InvalidTerms("minGain");
        if (t.royalty > _BPS / 2) revert InvalidTerms("royalty");
        if (t.commitWindow == 0) revert InvalidTerms("commitWindow");
        if (t.revealWindow == 0) revert InvalidTerms("revealWindow");
        if (t.unbonding < windows) revert InvalidTerms("unbonding");
        if (t.sunset != 0 && t.sunset < windows) revert InvalidTerms("sunset");
        if (t.sunset != 0 && t.sponsor == address(0)) revert InvalidTerms("sponsor");
    }

    function _checkParents(uint32[] calldata parents, uint32 newest) private pure {
        uint256 count = parents.length;
        if (count == 0 || count > _MAX_PARENTS) revert InvalidParentCount(count, _MAX_PARENTS);
        for (uint256 i = 0; i < count; ++i) {
            if (parents[i] > newest) revert UnknownModel(parents[i]);
            for (uint256 j = 0; j < i; ++j) {
                if (parents[i] == parents[j]) revert DuplicateParent(parents[i]);
            }
        }
    }

    function _checkScore(Score calldata score) private pure {
        if (score.qn == 0 || score.baselineQn == 0 || score.memorized > _PPM) {
            revert InvalidScore(score.qn, score.baselineQn, score.memorized);
        }
    }

    function _registeredNode(address account) private view returns (NodeRecord memory record) {
        record = _nodes[account];
        if (record.role == Role.None) revert NotRegistered(account);
    }

    function _activeNode(address account) private view returns (NodeRecord memory record) {
        record = _registeredNode(account);
        if (record.exiting) revert NodeExiting(account, record.clock);
    }

    /// @dev The caller's ballot, still empty, on a model of another author.
    function _ownBallot(uint32 id, address author) private view returns (BallotRecord storage vote) {
        if (msg.sender == author) revert OwnModel(id);
        vote = _ballots[id][msg.sender];
        if (vote.state != BallotState.None) revert AlreadyVoted(id, msg.sender, vote.state);
    }

    function _openBallot(uint32 id, address voter) private view returns (BallotRecord storage vote) {
        vote = _ballots[id][voter];
        if (vote.state != BallotState.Committed) revert NoOpenBallot(id, voter, vote.state);
    }

    function _inPhase(uint32 id, ModelRecord storage record, Phase required) private view returns (Tally memory tally) {
        tally = record.tally;
        if (tally.submittedAt == 0) revert UnknownModel(id);
        Phase current = _phase(tally);
        if (current != required) revert WrongPhase(id, current);
    }

    function _phase(Tally memory tally) private view returns (Phase) {
        if (tally.outcome != Phase.None) return tally.outcome;
        if (block.timestamp < uint256(tally.submittedAt) + tally.commitSpan) return Phase.Voting;
        bool inTime = block.timestamp < tally.submittedAt + _commitWindow + _revealWindow;
        return inTime && tally.openBallots != 0 ? Phase.Revealing : Phase.Due;
    }

    // ----------------------------------------------------------------------------------------------------- effects

    /// @dev The value of this call, once the balance is known to fit 96 bits.
    function _received() private view returns (uint96) {
        if (address(this).balance > _MAX_BALANCE) revert BalanceLimit(address(this).balance, _MAX_BALANCE);
        return uint96(msg.value);
    }

    function _addCredit(address account, uint256 amount) private {
        _creditOf[account] += amount;
        _credits += uint96(amount);
    }

    function _addWeight(uint256 added) private {
        uint256 weight = _progress.activeWeight + added;
        if (weight > _MAX_ACTIVE_WEIGHT) revert WeightFull(weight, _MAX_ACTIVE_WEIGHT);
        _progress.activeWeight = uint32(weight);
    }

    /// @dev Takes an active node out of the active set. Returns the time from which its stake can be claimed.
    function _leave(address account, NodeRecord memory record) private returns (uint40 exitAt) {
        exitAt = uint40(block.timestamp + _unbonding);
        _nodes[account].exiting = true;
        _nodes[account].clock = exitAt;
        _progress.activeWeight -= uint32(_weight(record.stake));
    }

    /// @dev Splits a payout between the new champion's author and the earlier champions.
    function _reward(uint32 id, ModelRecord storage record, uint256 payout, uint256 frontierBefore) private {
        uint256 royalties = frontierBefore == 0 ? 0 : payout * _royalty / _BPS;
        if (royalties != 0) {
            _royaltyPerStep += uint160(royalties * _ROYALTY_SCALE / frontierBefore);
            _lockedRoyalties += uint96(royalties);
            emit RoyaltiesShared(id, royalties);
        }
        record.royaltyPerStep = _royaltyPerStep;
        if (payout != royalties) {
            _addCredit(record.author, payout - royalties);
            emit Rewarded(id, record.author, payout - royalties);
        }
    }

    /// @dev Weight of the caller's ballot if it is on the jury. A caller with weight was active when the model was
    /// submitted, so `eligible` is not 0.
    function _jurorWeight(uint32 id, uint256 weight, uint256 eligible, uint32 bornBlock) private returns (uint256) {
        bytes32 seed = _jurySeed(id, bornBlock);
        if (_jury * weight >= eligible) return weight;
        uint256 ticket = uint256(keccak256(abi.encode(seed, id, msg.sender))) % eligible;
        if (ticket >= _jury * weight) revert NotOnJury(id, msg.sender);
        return eligible / _jury;
    }

    /// @dev Seed of the jury: the hash of a block that was unknown at the submission; the first commit fixes it.
    function _jurySeed(uint32 id, uint32 bornBlock) private returns (bytes32 seed) {
        seed = _jurySeeds[id];
        if (seed == 0) {
            uint256 age;
            unchecked {
                age = uint32(uint32(block.number) - bornBlock);
            }
            if (age == 0) revert JuryNotDrawn(id, block.number);
            seed = blockhash(block.number - (age > _BLOCK_HASHES_KEPT ? 1 : age));
            _jurySeeds[id] = seed;
            emit JuryDrawn(id, seed);
        }
    }

    // -------------------------------------------------------------------------------------------------- arithmetic

    function _weight(uint256 stake) private view returns (uint256) {
        return stake * _WEIGHT_PER_MIN_STAKE / _minStake;
    }

    function _feeShare(uint256 weight, uint256 eligible, uint256 revealed) private view returns (uint256) {
        return revealed == 0 ? 0 : _submissionFee * weight / FixedPointMathLib.max(eligible, revealed);
    }

    function _payout(uint256 advance) private view returns (uint256) {
        return uint256(_pool) * (_UNIT - FixedPointMathLib.rpow(_keepPerStep, advance, _UNIT)) / _UNIT;
    }

    function _commitment(uint32 id, address voter, Score calldata score, bytes32 salt) private view returns (bytes32) {
        return keccak256(
            abi.encode(
                block.chainid,
                address(this),
                id,
                _models[id].baseline,
                voter,
                score.qn,
                score.baselineQn,
                score.memorized,
                salt
            )
        );
    }

    /// @dev The smallest bucket with 2 · cumulative ≥ total, less 64: its slot first, then the bucket within. A slot times
    /// `_ONES` has the sum of its eight weights on top; nothing carries, as all weights of a model together fit 32 bits.
    function _medianGain(uint32 id, uint256 total) private view returns (int8) {
        uint256[16] storage slots = _histograms[id];
        unchecked {
            uint256 missing = (total + 1) / 2; // weight up to and with the median's bucket
            uint256 bucket = 0;
            uint256 weights = slots[0];
            for (uint256 sum; (sum = (weights * _ONES) >> 224) < missing; weights = slots[bucket >> 3]) {
                missing -= sum;
                bucket += 8;
            }
            for (; uint32(weights) < missing; weights >>= 32) {
                missing -= uint32(weights);
                ++bucket;
            }
            return int8(int256(bucket) - 64);
        }
    }

    /// @dev clamp(floor(64 · log2(baselineQn / qn)) + 64, 0, 127), exact for all inputs. With the ratio brought into [1, 2),
    /// six halvings of the exponent find the largest j with 2^(j/64) ≤ ratio. The thresholds are below the true powers by
    /// less than 2^-185 of them, and no ratio of two 64-bit integers (but 1 itself, which is exact) comes closer to one than
    /// 2^-140: a test walks the continued fractions.
    function _bucket(uint256 qn, uint256 baselineQn) internal pure returns (uint256 bucket) {
        if (baselineQn >= qn) bucket = 64;
        else baselineQn <<= 1;
        if (baselineQn < qn) return 0;
        if (baselineQn >= qn << 1) return 127;

        uint256 ratio = baselineQn << _THRESHOLD_BITS; // over qn; at most 2^255
        uint256 power = 1 << _THRESHOLD_BITS;
        (power, bucket) = _climb(power, bucket, 32, ratio, qn, 0x5a827999fcef32422cbec4d9baa55f4f8eb7b05d449dd426);
        (power, bucket) = _climb(power, bucket, 16, ratio, qn, 0x4c1bf828c6dc54b7a356918c17217b7b2f09cd0d8a7d40bc);
        (power, bucket) = _climb(power, bucket, 8, ratio, qn, 0x45cae0f1f545eb737df23143ac529e480d5427fdf5d61a4f);
        (power, bucket) = _climb(power, bucket, 4, ratio, qn, 0x42d561b3e6243d8a62e4adc610aa60d90a45022cf3ac28a8);
        (power, bucket) = _climb(power, bucket, 2, ratio, qn, 0x4166c34c5615d0eb9f1523ada32905ff94f8d257df7d2ebd);
        (power, bucket) = _climb(power, bucket, 1, ratio, qn, 0x40b268f9de0183b9bdf2b293de8a6f7a4f5c28b2af172e26);
    }

    /// @dev Adds `steps` to the bucket, and multiplies the power by `factor` = 2^(steps/64), if the ratio still reaches it.
    function _climb(uint256 power, uint256 bucket, uint256 steps, uint256 ratio, uint256 qn, uint256 factor)
        private
        pure
        returns (uint256, uint256)
    {
        uint256 next = FixedPointMathLib.fullMulDivN(power, factor, _THRESHOLD_BITS);
        return next * qn <= ratio ? (next, bucket + steps) : (power, bucket);
    }
}
