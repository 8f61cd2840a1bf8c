//! Operations: one list of all of them, from which everything that must know every operation is made.

/// Calls the macro `$user` with a row for each operation, in the order of their numbers. The list is where an
/// instruction enters the emulator: the enum [`Op`], the names, the effects on status flags and the table of handlers
/// are all made from it, so that an operation without a handler does not compile.
///
/// A row is `Name = columns handler Kind [flags];`.
///
/// `columns` says how many handlers there are, and what the column and the form (both are parts of
/// [`Uop::op`](super::uop::Uop::op)) choose between:
///
/// | word | columns | the handler |
/// | --- | --- | --- |
/// | `one` | all the same | may fault, or ask for the boundary |
/// | `all` | operand width 8, 16, 32, 64 | the same |
/// | `wide` | 32 and 64 alone | the same |
/// | `reg` | operand width | works on registers: neither faults nor asks for the boundary |
/// | `alu` | operand width | the same, and there is a form that leaves no status flags |
/// | `mem` | operand width | reaches memory: a form for each way to get there |
/// | `lea` | operand width | computes an address: the same forms, without an access |
/// | `branch` | operand width | says whether the branch is taken; the block goes on if not |
/// | `end` | operand width | always ends its block |
/// | `enc` | Legacy, VEX.128, VEX.256, EVEX | of a vector instruction |
///
/// `handler` is the name of the function in `exec`, and `Kind`, if there is one, the type that it is generic over.
///
/// `flags` is what the operation does with the status flags (CF, PF, AF, ZF, SF, OF), for those that the flag pass
/// knows; see [`FlagEffect`]. Without it the operation may do anything.
///
/// | word | meaning |
/// | --- | --- |
/// | `none` | leaves them alone, and cannot fail |
/// | `fails` | leaves them alone, but may fail |
/// | `reads` | reads them, or shows them to wherever it leads |
/// | `difference` | writes all of them as a subtraction without a borrow does |
/// | `result` | writes all of them; ZF and SF are those of its result |
/// | … `reads` … `fails` | added to one of the last two: it reads them first; it may fail |
#[macro_export]
macro_rules! for_each_op {
    ($user:ident) => {
        $user! {
            // Loudly not there.
            Undefined = one undefined;
            TooLong = one too_long;
            Unimplemented = one unimplemented;

            // Integer arithmetic and logic: register/register, register/memory, memory/register, register/immediate,
            // memory/immediate.
            AddRr = alu alu_rr Add [result]; AddRm = mem alu_rm Add [result fails];
            AddMr = mem alu_mr Add [result fails]; AddRi = alu alu_ri Add [result];
            AddMi = mem alu_mi Add [result fails];
            OrRr = alu alu_rr Or [result]; OrRm = mem alu_rm Or [result fails]; OrMr = mem alu_mr Or [result fails];
            OrRi = alu alu_ri Or [result]; OrMi = mem alu_mi Or [result fails];
            AdcRr = alu alu_rr Adc [result reads]; AdcRm = mem alu_rm Adc; AdcMr = mem alu_mr Adc;
            AdcRi = alu alu_ri Adc [result reads]; AdcMi = mem alu_mi Adc;
            SbbRr = alu alu_rr Sbb [result reads]; SbbRm = mem alu_rm Sbb; SbbMr = mem alu_mr Sbb;
            SbbRi = alu alu_ri Sbb [result reads]; SbbMi = mem alu_mi Sbb;
            AndRr = alu alu_rr And [result]; AndRm = mem alu_rm And [result fails];
            AndMr = mem alu_mr And [result fails]; AndRi = alu alu_ri And [result];
            AndMi = mem alu_mi And [result fails];
            SubRr = alu alu_rr Sub [difference]; SubRm = mem alu_rm Sub [difference fails];
            SubMr = mem alu_mr Sub [difference fails]; SubRi = alu alu_ri Sub [difference];
            SubMi = mem alu_mi Sub [difference fails];
            XorRr = alu alu_rr Xor [result]; XorRm = mem alu_rm Xor [result fails];
            XorMr = mem alu_mr Xor [result fails]; XorRi = alu alu_ri Xor [result];
            XorMi = mem alu_mi Xor [result fails];
            CmpRr = reg cmp_rr [difference]; CmpRm = mem cmp_rm [difference fails];
            CmpMr = mem cmp_mr [difference fails]; CmpRi = reg cmp_ri [difference];
            CmpMi = mem cmp_mi [difference fails];
            TestRr = reg test_rr [result]; TestMr = mem test_mr [result fails]; TestRi = reg test_ri [result];
            TestMi = mem test_mi [result fails];
            IncR = alu unary_r Inc [result reads]; IncM = mem unary_m Inc [result reads fails];
            DecR = alu unary_r Dec [result reads]; DecM = mem unary_m Dec [result reads fails];
            NotR = alu unary_r Not [none]; NotM = mem unary_m Not; NegR = alu unary_r Neg [result];
            NegM = mem unary_m Neg [result fails];
            XorZero = reg xor_zero [result];

            // Moves.
            MovRr = reg mov_rr [none]; MovRm = mem mov_rm [fails]; MovMr = mem mov_mr [fails];
            MovRi = reg mov_ri [none]; MovMi = mem mov_mi [fails];
            MovRmAbsolute = all mov_rm_absolute; MovMrAbsolute = all mov_mr_absolute;
            MovzxRr8 = reg movzx_rr8 [none]; MovzxRm8 = mem movzx_rm8 [fails]; MovzxRr16 = reg movzx_rr16 [none];
            MovzxRm16 = mem movzx_rm16 [fails];
            MovsxRr8 = reg movsx_rr8 [none]; MovsxRm8 = mem movsx_rm8 [fails]; MovsxRr16 = reg movsx_rr16 [none];
            MovsxRm16 = mem movsx_rm16 [fails];
            MovsxRr32 = reg movsx_rr32 [none]; MovsxRm32 = mem movsx_rm32 [fails];
            Lea = lea lea [none];
            XchgRr = all xchg_rr; XchgMr = all xchg_mr;
            CmovRr = reg cmov_rr [reads]; CmovRm = mem cmov_rm [fails];
            SetccR = one setcc_r [fails]; SetccM = one setcc_m [fails];
            Cbw = reg cbw [none]; Cwd = reg cwd [none];
            Nop = one nop [fails]; Prefetch = one prefetch [fails];

            // Branches.
            JmpRel = end jmp_rel; JmpR = end jmp_r; JmpM = mem jmp_m;
            Jcc = branch jcc [reads]; Jcxz = branch jcxz [reads]; Loop = branch loop_rel [reads];
            JccZero = branch jcc_on Zero [reads]; JccNotZero = branch jcc_on NotZero [reads];
            JccNegative = branch jcc_on Negative [reads]; JccNotNegative = branch jcc_on NotNegative [reads];
            JccBelow = branch jcc_on Below [reads]; JccNotBelow = branch jcc_on NotBelow [reads];
            JccBelowEqual = branch jcc_on BelowEqual [reads]; JccAbove = branch jcc_on Above [reads];
            JccLess = branch jcc_on Less [reads]; JccNotLess = branch jcc_on NotLess [reads];
            JccLessEqual = branch jcc_on LessEqual [reads]; JccGreater = branch jcc_on Greater [reads];
            CallRel = mem call_rel; CallR = mem call_r; CallM = mem call_m;
            Ret = mem ret;

            // Near branches where control-flow enforcement works, and its own instructions.
            CetJmpR = all cet_jmp_r; CetJmpM = all cet_jmp_m; CetCallRel = all cet_call_rel;
            CetCallR = all cet_call_r; CetCallM = all cet_call_m; CetRet = all cet_ret;
            Endbranch = one endbranch; MissingEndbranch = one missing_endbranch;
            Incssp = all incssp; Rdssp = all rdssp; Rstorssp = one rstorssp; Saveprevssp = one saveprevssp;
            Wrss = all wrss; Wruss = all wruss; Setssbsy = one setssbsy; Clrssbsy = one clrssbsy;

            // Stack.
            PushR = mem push_r [fails]; PushM = mem push_m [fails]; PushI = mem push_i [fails];
            PopR = mem pop_r [fails]; PopM = all pop_m;
            PushA = all pusha; PopA = all popa;
            Enter = all enter; Leave = mem leave [fails];

            // Shifts and rotates: register or memory by an immediate or CL.
            ShlRi = alu shift_ri Shl [result]; ShlRc = reg shift_rc Shl; ShlMi = all shift_mi Shl;
            ShlMc = all shift_mc Shl;
            ShrRi = alu shift_ri Shr [result]; ShrRc = reg shift_rc Shr; ShrMi = all shift_mi Shr;
            ShrMc = all shift_mc Shr;
            SarRi = alu shift_ri Sar [result]; SarRc = reg shift_rc Sar; SarMi = all shift_mi Sar;
            SarMc = all shift_mc Sar;
            RolRi = alu shift_ri Rol; RolRc = reg shift_rc Rol; RolMi = all shift_mi Rol; RolMc = all shift_mc Rol;
            RorRi = alu shift_ri Ror; RorRc = reg shift_rc Ror; RorMi = all shift_mi Ror; RorMc = all shift_mc Ror;
            RclRi = alu shift_ri Rcl; RclRc = reg shift_rc Rcl; RclMi = all shift_mi Rcl; RclMc = all shift_mc Rcl;
            RcrRi = alu shift_ri Rcr; RcrRc = reg shift_rc Rcr; RcrMi = all shift_mi Rcr; RcrMc = all shift_mc Rcr;
            ShldRi = reg double_ri Shld; ShldRc = reg double_rc Shld; ShldMi = all double_mi Shld;
            ShldMc = all double_mc Shld;
            ShrdRi = reg double_ri Shrd; ShrdRc = reg double_rc Shrd; ShrdMi = all double_mi Shrd;
            ShrdMc = all double_mc Shrd;

            // Multiplication and division.
            MulR = all mul_r; MulM = all mul_m; Imul1R = all imul1_r; Imul1M = all imul1_m;
            ImulRr = reg imul_rr [result]; ImulRm = all imul_rm; ImulRri = reg imul_rri [result]; ImulRmi = all imul_rmi;
            DivR = all div_r; DivM = all div_m; IdivR = all idiv_r; IdivM = all idiv_m;

            // Bits and bytes.
            BtRr = reg bit_rr Bt; BtRi = reg bit_ri Bt; BtMr = all bit_mr Bt; BtMi = all bit_mi Bt;
            BtsRr = reg bit_rr Bts; BtsRi = reg bit_ri Bts; BtsMr = all bit_mr Bts; BtsMi = all bit_mi Bts;
            BtrRr = reg bit_rr Btr; BtrRi = reg bit_ri Btr; BtrMr = all bit_mr Btr; BtrMi = all bit_mi Btr;
            BtcRr = reg bit_rr Btc; BtcRi = reg bit_ri Btc; BtcMr = all bit_mr Btc; BtcMi = all bit_mi Btc;
            BsfRr = reg scan_rr Bsf; BsfRm = all scan_rm Bsf; BsrRr = reg scan_rr Bsr; BsrRm = all scan_rm Bsr;
            PopcntRr = reg count_rr Popcnt; PopcntRm = all count_rm Popcnt;
            LzcntRr = reg count_rr Lzcnt; LzcntRm = all count_rm Lzcnt;
            TzcntRr = reg count_rr Tzcnt; TzcntRm = all count_rm Tzcnt;
            Bswap = reg bswap [none]; MovbeRm = all movbe_rm; MovbeMr = all movbe_mr;
            Crc32Rr = all crc32_rr; Crc32Rm = all crc32_rm;

            // Exchange and compare.
            XaddRr = all xadd_rr; XaddMr = all xadd_mr; CmpxchgRr = all cmpxchg_rr; CmpxchgMr = all cmpxchg_mr;
            Cmpxchg8b = one cmpxchg8b; Cmpxchg16b = one cmpxchg16b;

            // BMI1, BMI2, ADX.
            AndnRr = wide vex_rr Andn; AndnRm = wide vex_rm Andn; BextrRr = wide vex_rr Bextr;
            BextrRm = wide vex_rm Bextr;
            BzhiRr = wide vex_rr Bzhi; BzhiRm = wide vex_rm Bzhi; PdepRr = wide vex_rr Pdep; PdepRm = wide vex_rm Pdep;
            PextRr = wide vex_rr Pext; PextRm = wide vex_rm Pext; SarxRr = wide vex_rr Sarx; SarxRm = wide vex_rm Sarx;
            ShlxRr = wide vex_rr Shlx; ShlxRm = wide vex_rm Shlx; ShrxRr = wide vex_rr Shrx; ShrxRm = wide vex_rm Shrx;
            BlsiRr = wide vex_rr Blsi; BlsiRm = wide vex_rm Blsi; BlsrRr = wide vex_rr Blsr; BlsrRm = wide vex_rm Blsr;
            BlsmskRr = wide vex_rr Blsmsk; BlsmskRm = wide vex_rm Blsmsk; RorxRr = wide vex_rr Rorx;
            RorxRm = wide vex_rm Rorx;
            MulxRr = wide mulx_rr; MulxRm = wide mulx_rm;
            AdcxRr = wide adx_rr Adcx; AdcxRm = wide adx_rm Adcx; AdoxRr = wide adx_rr Adox; AdoxRm = wide adx_rm Adox;

            // Strings.
            Movs = all movs; RepMovs = all rep_movs; Stos = all stos; RepStos = all rep_stos;
            Lods = all lods; RepLods = all rep_lods; Scas = all scas; RepScas = all rep_scas;
            Cmps = all cmps; RepCmps = all rep_cmps;
            Ins = all ins; RepIns = all rep_ins; Outs = all outs; RepOuts = all rep_outs;

            // Decimal.
            Daa = one daa; Das = one das; Aaa = one aaa; Aas = one aas;
            Aam = one aam; Aad = one aad;

            // Ports.
            InImm = all in_imm; InDx = all in_dx; OutImm = all out_imm; OutDx = all out_dx;

            // Others.
            Xlat = one xlat; Bound = all bound; Salc = one salc;
            CacheLine = one cache_line; CacheLineWrite = one cache_line_write;
            Movdir64b = one movdir64b;
            Random = all random; Rdpid = one rdpid; Serialize = one serialize;

            // System.
            Hlt = one hlt; Cli = one cli; Sti = one sti;
            FlagBit = one flag_bit; Sahf = one sahf; Lahf = one lahf;

            // Control and debug registers.
            MovToCr = all mov_to_cr; MovFromCr = all mov_from_cr;
            MovToDr = all mov_to_dr; MovFromDr = all mov_from_dr;
            Clts = one clts;
            SmswR = all smsw_r; SmswM = one smsw_m; LmswR = one lmsw_r; LmswM = one lmsw_m;
            Invlpg = one invlpg; Invpcid = all invpcid; InvalidateCaches = one invalidate_caches;
            SetAc = one set_ac;

            // VMX.
            Vmlaunch = one vmlaunch; Vmresume = one vmresume;
            Vmxon = one vmxon; Vmxoff = one vmxoff; Vmclear = one vmclear; Vmptrld = one vmptrld;
            Vmptrst = one vmptrst; VmreadR = all vmread_r; VmreadM = all vmread_m; VmwriteR = all vmwrite_r;
            VmwriteM = all vmwrite_m; Invept = all invept; Invvpid = all invvpid; Vmcall = one vmcall;
            Vmfunc = one vmfunc;

            // Identification, time, model-specific registers.
            Cpuid = one cpuid; Rdtsc = one rdtsc; Monitor = one monitor; Mwait = one mwait;
            Umonitor = one umonitor; UserWait = one user_wait;
            Rdpkru = one rdpkru; Wrpkru = one wrpkru; Pause = one pause;
            Rdmsr = one rdmsr; Wrmsr = one wrmsr; Rdpmc = one rdpmc;

            // Segments and descriptor tables.
            MovToSreg = one mov_to_sreg; MovFromSreg = all mov_from_sreg; StoreSreg = one store_sreg;
            PushSreg = all push_sreg; PopSreg = all pop_sreg; LoadFarPointer = all load_far_pointer;
            Lgdt = one lgdt; Lidt = one lidt; Sgdt = one sgdt; Sidt = one sidt;
            Lldt = one lldt; Ltr = one ltr; StoreSystemSelector = all store_system_selector;
            Lar = all lar; Lsl = all lsl; Verify = one verify; Arpl = one arpl;

            // Far transfers, interrupts, fast calls.
            JmpFar = all jmp_far; JmpFarM = all jmp_far_m; CallFar = all call_far; CallFarM = all call_far_m;
            RetFar = all ret_far;
            IntN = one int_n; Into = one into; Iret = all iret;
            Pushf = all pushf; Popf = all popf;
            Sysenter = one sysenter; Sysexit = all sysexit; Syscall = one syscall; Sysret = all sysret;
            Swapgs = one swapgs; ReadBase = all read_base; WriteBase = all write_base;

            // Vectors; the columns are the encodings.
            VmovRr = enc vmov_rr; VmovRm = enc vmov_rm; VmovMr = enc vmov_mr; StoreHigh = enc store_high;
            VmovFromGpr = enc vmov_from_gpr; VmovToGpr = enc vmov_to_gpr;
            VextractR = enc extract_r; VextractM = enc extract_m; VinsertR = enc insert_r; VinsertM = enc insert_m;
            VmoveMask = enc move_mask; VmaskMove = enc mask_move; VmaskLoad = enc mask_load;
            VmaskStore = enc mask_store;
            Vzero = enc vzero; TwoRr = enc two_rr; TwoRm = enc two_rm;
            CountRr = enc by_count_rr; CountRm = enc by_count_rm; ThreeRr = enc three_rr; ThreeRm = enc three_rm;
            WideRr = enc wide_rr; WideRm = enc wide_rm; BroadcastGpr = enc broadcast_gpr;
            ExtractLaneR = enc extract_lane_r; ExtractLaneM = enc extract_lane_m;
            Gather = enc gather; GatherMasked = enc gather_masked; Scatter = enc scatter;
            VtestRr = enc vtest_rr; VtestRm = enc vtest_rm; StringsRr = enc strings_rr; StringsRm = enc strings_rm;
            FloatRr = enc float_rr; FloatRm = enc float_rm;
            AddPsRr = enc native_rr AddPs; AddPsRm = enc native_rm AddPs; AddPdRr = enc native_rr AddPd;
            AddPdRm = enc native_rm AddPd;
            AddSsRr = enc native_rr AddSs; AddSsRm = enc native_rm AddSs; AddSdRr = enc native_rr AddSd;
            AddSdRm = enc native_rm AddSd;
            SubPsRr = enc native_rr SubPs; SubPsRm = enc native_rm SubPs; SubPdRr = enc native_rr SubPd;
            SubPdRm = enc native_rm SubPd;
            SubSsRr = enc native_rr SubSs; SubSsRm = enc native_rm SubSs; SubSdRr = enc native_rr SubSd;
            SubSdRm = enc native_rm SubSd;
            MulPsRr = enc native_rr MulPs; MulPsRm = enc native_rm MulPs; MulPdRr = enc native_rr MulPd;
            MulPdRm = enc native_rm MulPd;
            MulSsRr = enc native_rr MulSs; MulSsRm = enc native_rm MulSs; MulSdRr = enc native_rr MulSd;
            MulSdRm = enc native_rm MulSd;
            DivPsRr = enc native_rr DivPs; DivPsRm = enc native_rm DivPs; DivPdRr = enc native_rr DivPd;
            DivPdRm = enc native_rm DivPd;
            DivSsRr = enc native_rr DivSs; DivSsRm = enc native_rm DivSs; DivSdRr = enc native_rr DivSd;
            DivSdRm = enc native_rm DivSd;
            ConvertRr = enc convert_rr; ConvertRm = enc convert_rm; ConvertMr = enc convert_mr;
            IntToFloatR = enc int_to_float_r; IntToFloatM = enc int_to_float_m;
            FloatToIntR = enc float_to_int_r; FloatToIntM = enc float_to_int_m;
            CompareScalarR = enc compare_scalar_r; CompareScalarM = enc compare_scalar_m;
            MaskOp = one mask_op; MaskTest = one mask_test; MaskLoad = one mask_register_load;
            MaskStore = one mask_register_store; MaskFromGpr = one mask_from_gpr; MaskToGpr = one mask_to_gpr;
            MaskCompareRr = enc mask_compare_rr; MaskCompareRm = enc mask_compare_rm;
            SignsToMask = enc signs_to_mask; MaskToVector = enc mask_to_vector;
            BlendMaskRr = enc blend_mask_rr; BlendMaskRm = enc blend_mask_rm;
            CompressR = enc compress_r; CompressM = enc compress_m; ExpandR = enc expand_r; ExpandM = enc expand_m;
            Ldmxcsr = enc ldmxcsr; Stmxcsr = enc stmxcsr;

            // Saved state.
            Fxsave = one fxsave; Fxrstor = one fxrstor; Xsave = one xsave; Xrstor = one xrstor;
            Xgetbv = one xgetbv; Xsetbv = one xsetbv; Emms = one emms;

            // x87 arithmetic: registers, single, double, integer.
            FaddSt = one x87_arith_st Fadd; FaddM32 = one x87_arith_m32 Fadd; FaddM64 = one x87_arith_m64 Fadd;
            FaddInt = all x87_arith_int Fadd;
            FsubSt = one x87_arith_st Fsub; FsubM32 = one x87_arith_m32 Fsub; FsubM64 = one x87_arith_m64 Fsub;
            FsubInt = all x87_arith_int Fsub;
            FsubrSt = one x87_arith_st Fsubr; FsubrM32 = one x87_arith_m32 Fsubr; FsubrM64 = one x87_arith_m64 Fsubr;
            FsubrInt = all x87_arith_int Fsubr;
            FmulSt = one x87_arith_st Fmul; FmulM32 = one x87_arith_m32 Fmul; FmulM64 = one x87_arith_m64 Fmul;
            FmulInt = all x87_arith_int Fmul;
            FdivSt = one x87_arith_st Fdiv; FdivM32 = one x87_arith_m32 Fdiv; FdivM64 = one x87_arith_m64 Fdiv;
            FdivInt = all x87_arith_int Fdiv;
            FdivrSt = one x87_arith_st Fdivr; FdivrM32 = one x87_arith_m32 Fdivr; FdivrM64 = one x87_arith_m64 Fdivr;
            FdivrInt = all x87_arith_int Fdivr;

            // x87 transfers.
            FldSt = one fld_st; FldM32 = one fld_m32; FldM64 = one fld_m64; FldM80 = one fld_m80;
            Fild = all fild; Fbld = one fbld; FldConstant = one fld_constant;
            FstSt = one fst_st; FstM32 = one fst_m32; FstM64 = one fst_m64; FstpM80 = one fstp_m80;
            Fist = all fist; Fbstp = one fbstp; Fxch = one fxch; Fcmov = one fcmov;

            // x87 comparisons and functions.
            FcomSt = one fcom_st; FcomM32 = one fcom_m32; FcomM64 = one fcom_m64; Ficom = all ficom;
            Fcomi = one fcomi; Ftst = one ftst; Fxam = one fxam;
            Fchs = one x87_on_top Fchs; Fabs = one x87_on_top Fabs; Fsqrt = one x87_on_top Fsqrt;
            Frndint = one x87_on_top Frndint; F2xm1 = one x87_on_top F2xm1;
            Fyl2x = one x87_on_pair Fyl2x; Fyl2xp1 = one x87_on_pair Fyl2xp1; Fpatan = one x87_on_pair Fpatan;
            Fscale = one fscale; Fprem = one fprem; Fxtract = one fxtract; Ftrigonometric = one ftrigonometric;

            // x87 control.
            Fwait = one fwait; Fnop = one fnop; Fnoop = one fnoop;
            Fninit = one fninit; Fnclex = one fnclex; FnstswAx = one fnstsw_ax; FnstswM = one fnstsw_m;
            Fnstcw = one fnstcw; Fldcw = one fldcw; FmoveTop = one fmove_top; Ffree = one ffree;
            Fnstenv = one fnstenv; Fldenv = one fldenv; Fnsave = one fnsave; Frstor = one frstor;
            // MMX.
            MmxRr = one mmx_rr; MmxRm = one mmx_rm; MmxMovRm = one mmx_mov_rm; MmxMovMr = one mmx_mov_mr;
            MmxFromGpr = one mmx_from_gpr; MmxToGpr = one mmx_to_gpr;
            MmxFromXmm = one mmx_from_xmm; MmxToXmm = one mmx_to_xmm;
            MmxExtract = one mmx_extract; MmxInsertR = one mmx_insert_r; MmxInsertM = one mmx_insert_m;
            MmxFromFloatR = one mmx_from_float_r; MmxFromFloatM = one mmx_from_float_m;
            MmxToFloatR = one mmx_to_float_r; MmxToFloatM = one mmx_to_float_m;
            MmxMoveMask = one mmx_move_mask; MmxMaskMove = one mmx_mask_move;
        }
    };
}

/// What an operation does with the status flags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FlagEffect {
    /// Anything; or it may fault or end the block, and then its surroundings see all flags.
    Unknown,
    /// Nothing, and it cannot fail.
    None,
    /// It leaves them alone, but may fail.
    Fails,
    /// It reads them, or shows them to wherever it leads, and leaves them alone.
    Reads,
    /// It writes all of them.
    Writes {
        /// What they derive from.
        form: FlagForm,
        /// It reads some of them first.
        reads: bool,
        /// It may fail, and then its surroundings see the flags that were there before.
        fails: bool,
    },
}

/// What status flags derive from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FlagForm {
    /// A subtraction without a borrow.
    Difference,
    /// Some result: ZF and SF are its.
    Result,
}

macro_rules! effect {
    () => { FlagEffect::Unknown };
    ([none]) => { FlagEffect::None };
    ([fails]) => { FlagEffect::Fails };
    ([reads]) => { FlagEffect::Reads };
    ([difference $($more:ident)*]) => { effect!(Difference false false $($more)*) };
    ([result $($more:ident)*]) => { effect!(Result false false $($more)*) };
    ($form:ident $reads:literal $fails:literal reads $($more:ident)*) => { effect!($form true $fails $($more)*) };
    ($form:ident $reads:literal $fails:literal fails) => { effect!($form $reads true) };
    ($form:ident $reads:literal $fails:literal) => {
        FlagEffect::Writes { form: FlagForm::$form, reads: $reads, fails: $fails }
    };
}

macro_rules! define {
    ($($name:ident = $columns:ident $handler:ident $($kind:ident)? $([$($flags:ident)*])?;)*) => {
        /// Operations; see [`for_each_op!`](crate::for_each_op).
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(u16)]
        #[allow(missing_docs)]
        pub enum Op { $($name,)* }

        impl Op {
            /// All operations, in the order of their numbers.
            pub const ALL: &[Op] = &[$(Op::$name,)*];
        }

        const NAMES: [&str; Op::ALL.len()] = [$(stringify!($name),)*];

        const EFFECTS: [FlagEffect; Op::ALL.len()] = [$(effect!($([$($flags)*])?),)*];
    };
}

for_each_op!(define);

impl Op {
    /// The name, as the list has it.
    pub fn name(self) -> &'static str {
        NAMES[self as usize]
    }

    /// What it does with the status flags.
    pub fn flag_effect(self) -> FlagEffect {
        EFFECTS[self as usize]
    }
}

/// Rows of the table of handlers, rounded up so that an index needs no check.
pub const ROWS: usize = 1024;
/// Columns: operand widths or encodings.
pub const COLUMNS: usize = 4;
/// Forms of a handler: values of the bits of [`Uop::op`](super::uop::Uop::op) above row and column.
pub const FORM_COUNT: usize = 4;
/// Bits of [`Uop::op`](super::uop::Uop::op) above row and column: the form of the handler. 0 is the form that is always right.
pub const FORMS: u16 = (FORM_COUNT as u16 - 1) * FLAT;
/// The handler reaches memory without a segment's base or bound.
pub const FLAT: u16 = (ROWS * COLUMNS) as u16;
/// The same, and the address is base plus displacement.
pub const FLAT_BASE: u16 = 2 * FLAT;
/// Nobody sees the status flags that a register operation would leave.
pub const NO_FLAGS: u16 = 3 * FLAT;

const _: () = assert!(Op::ALL.len() <= ROWS);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::uop::Uop;

    #[test]
    fn operation_of_a_micro_op_is_the_one_it_was_made_for() {
        for &op in Op::ALL {
            for column in 0..COLUMNS {
                let mut uop = Uop::new(op, column, 0, 1);
                assert_eq!((uop.operation(), uop.width_index()), (op, column), "{}", op.name());
                uop.op |= NO_FLAGS;
                assert_eq!(uop.operation(), op);
            }
        }
    }

    #[test]
    fn flag_effect_is_what_the_row_says() {
        let result = |reads, fails| FlagEffect::Writes { form: FlagForm::Result, reads, fails };
        assert_eq!(Op::AddRr.flag_effect(), result(false, false));
        assert_eq!(Op::DecM.flag_effect(), result(true, true));
        let difference = FlagEffect::Writes { form: FlagForm::Difference, reads: false, fails: true };
        assert_eq!(Op::CmpRm.flag_effect(), difference);
        assert_eq!(Op::Lea.flag_effect(), FlagEffect::None);
        assert_eq!(Op::PushR.flag_effect(), FlagEffect::Fails);
        assert_eq!(Op::Jcc.flag_effect(), FlagEffect::Reads);
        assert_eq!(Op::Cpuid.flag_effect(), FlagEffect::Unknown);
    }
}
